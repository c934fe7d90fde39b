# SPDX-License-Identifier: Apache-2.0
"""Where a benchmark lies: the command line, then the environment, then one TOML file of the user."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from modaltrack.benchmarks.names import find


def config_file() -> Path:
    """The user's one file of paths: ``modaltrack/config.toml`` in the configuration folder of the system."""
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".config") / "modaltrack" / "config.toml"


def find_root(name: str, given: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a benchmark.

    given, else the environment variable MODALTRACK_<NAME>, else MODALTRACK_DATA (a folder of benchmarks), else the
    table [data] of ``config_file()``: a key with the benchmark's name, or ``root``.

    Raises:
        ValueError: in one sentence when no place is configured, or the configured one does not exist.
    """
    row, _ = find(name)
    if given is not None and str(given):
        return _existing(Path(given).expanduser(), row.title, "given on the command line")
    variable = "MODALTRACK_" + "".join(c if c.isalnum() else "_" for c in row.name.upper())
    if os.environ.get(variable):
        return _existing(Path(os.environ[variable]).expanduser(), row.title, f"the environment variable {variable}")
    tried = [f"the environment variable {variable} is not set"]
    if os.environ.get("MODALTRACK_DATA"):
        base = Path(os.environ["MODALTRACK_DATA"]).expanduser()
        inside = folder_inside(_existing(base, "the benchmarks", "the environment variable MODALTRACK_DATA"), row.title)
        if inside is not None:
            return inside
        tried.append(f"MODALTRACK_DATA ({base}) has no folder {row.title}")
    else:
        tried.append("MODALTRACK_DATA is not set")
    file = config_file()
    data = _read_config(file)
    own = next((value for key, value in data.items() if _same(key, row.name)), None)
    if own is not None:
        return _existing(Path(str(own)).expanduser(), row.title, f"[data] {row.name} in {file}")
    if "root" in data:
        base = Path(str(data["root"])).expanduser()
        inside = folder_inside(_existing(base, "the benchmarks", f"[data] root in {file}"), row.title)
        if inside is not None:
            return inside
        tried.append(f"[data] root in {file} ({base}) has no folder {row.title}")
    elif file.is_file():
        tried.append(f"{file} has no [data] {row.name}")
    else:
        tried.append(f"there is no {file}")
    raise ValueError(f"Where {row.title} lies is not known ({', '.join(tried)}); pass its folder or set {variable}.")


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8")).get("data", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no valid TOML ({error}); correct it.") from error
    if not isinstance(data, dict):
        raise ValueError(f'{file} holds data = {data!r} and a table [data] of name = "folder" was expected.')
    return data


def _same(a: str, b: str) -> bool:
    return "".join(c for c in a.lower() if c.isalnum()) == "".join(c for c in b.lower() if c.isalnum())


def folder_inside(base: Path, title: str) -> Path | None:
    """The folder in ``base`` that is called like a benchmark, in any spelling; None where there is none."""
    return next((f for f in sorted(base.iterdir()) if f.is_dir() and _same(f.name, title)), None)


def _existing(folder: Path, what: str, origin: str) -> Path:
    if not folder.exists():
        raise ValueError(f"The folder {folder} of {what} ({origin}) does not exist; correct the path.")
    if not folder.is_dir():
        kind = (
            "an archive: unpack it and give the folder"
            if folder.suffix in (".zip", ".rar", ".7z", ".gz", ".tar")
            else "a file: give the folder"
        )
        raise ValueError(f"{folder} ({origin}, for {what}) is {kind}.")
    return folder
