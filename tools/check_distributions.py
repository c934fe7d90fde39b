# SPDX-License-Identifier: Apache-2.0
"""Check a wheel and a source archive before they are released: ``python tools/check_distributions.py dist/*``.

Metadata, version (also of CITATION.cff and CHANGELOG.md), size, modes of the files, what must and must not be inside.
The exit code is 1 where something is wrong; each finding is one sentence.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

WHEEL_LIMIT = 15_000_000  # bytes
REQUIRED = ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Description-Content-Type")
WANTED = (
    "modaltrack/py.typed",
    "modaltrack/cli.py",
    "licenses/LICENSE",
    "modaltrack/models/catalogue.json",
    "weights/modaltrack-laptop.safetensors",  # the default model is a delta of the second
    "weights/ostrack-laptop.safetensors",
)
UNWANTED = re.compile(
    r"(^|/)(tests?|shared|runs|__pycache__|\.git)/|\.(pyc|pth|tar|env)$|(^|/)\.(?!ci|github|pre-commit|gitignore)"
)


def check_wheel(file: Path, limit: int = WHEEL_LIMIT) -> tuple[str, list[str]]:
    """A wheel's version and what is wrong with it."""
    found = []
    if file.stat().st_size > limit:
        found.append(f"{file.name} has {file.stat().st_size:,} bytes; at most {limit:,} are wanted.")
    with zipfile.ZipFile(file) as wheel:
        names = wheel.namelist()
        for info in wheel.infolist():
            mode = (info.external_attr >> 16) & 0o777
            if mode & 0o044 != 0o044 and not info.is_dir():
                found.append(f"{info.filename} has the mode {mode:o}: other users could not read it.")
        (metadata,) = [n for n in names if n.endswith(".dist-info/METADATA")]
        fields = Parser().parsestr(wheel.read(metadata).decode())
    found += [f"The metadata has no {field}." for field in REQUIRED if not fields[field]]
    if len(fields.get_payload()) < 500:
        found.append("The metadata has no description: README.md is missing from it.")
    found += [f"{wanted} is not in the wheel." for wanted in WANTED if not any(n.endswith(wanted) for n in names)]
    found += [f"{n} does not belong into the wheel." for n in names if UNWANTED.search(n)]
    return str(fields["Version"]), found


def check_source(file: Path) -> list[str]:
    """What is wrong with a source archive."""
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    found = [f"{m.name} has the mode {m.mode:o}: other users could not read it." for m in members if not m.mode & 0o004]
    found += [f"{m.name} is neither a file nor a folder." for m in members if not (m.isfile() or m.isdir())]
    inside = {m.name.partition("/")[2] for m in members}
    return found + [
        f"{n} is not in {file.name}." for n in ("pyproject.toml", "README.md", "LICENSE") if n not in inside
    ]


def check_version(version: str, tree: Path, wanted: str | None) -> list[str]:
    """Where a version differs from the one of the wheel."""
    found = []
    if wanted and wanted != version:
        found.append(f"The wheel's version is {version} and {wanted} was asked for.")
    cited = re.search(r"^version: (\S+)$", (tree / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    if cited is None or cited[1] != version:
        found.append(f"CITATION.cff names the version {cited[1] if cited else '(none)'} and the wheel {version}.")
    if wanted and not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (tree / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    ):
        found.append(f"CHANGELOG.md has no heading '## [{version}] - DATE'.")
    return found


def main(argv: list[str] | None = None) -> int:
    """Print every finding; -> exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--tree", type=Path, default=Path("."))
    parser.add_argument("--version", default=None)
    options = parser.parse_args(argv)
    found = []
    for file in options.files:
        if file.suffix == ".whl":
            version, wrong = check_wheel(file)
            found += wrong + check_version(version, options.tree, options.version)
        else:
            found += check_source(file)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if not found:
        print(", ".join(f"{f.name}: {f.stat().st_size:,} bytes" for f in options.files), "as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
