# SPDX-License-Identifier: Apache-2.0
"""Every table of numbers in README and documentation has an origin, and what makes it again is there."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from modaltrack import cli
from modaltrack.commands import reproduce
from modaltrack.commands.claims import CLAIMS, claim_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NUMBER = re.compile(r"(?<!\w)\d*\.\d+")


def tables_of(text: str) -> Iterator[tuple[str, str]]:
    """("heading above | first | row |", body) of a page's tables."""
    heading, body = "", ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        if line.startswith("|"):
            body += line + "\n"
        elif body:
            yield f"{heading} {body.splitlines()[0]}", body
            body = ""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_table_of_numbers_has_an_origin(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    for heading, body in tables_of(page.read_text(encoding="utf-8")):
        if len(NUMBER.findall(body)) >= 3:
            assert claim_of(name, heading), f"{name}, {heading!r}: add its origin to src/modaltrack/commands/claims.py"


def test_measured_tables_are_not_taken_for_rules() -> None:
    kinds = {
        ("README.md", "How good, how fast | |"): "real-clips",
        ("docs/models.md", "The shipped weights | sensors | ostrack-tiny | sdstrack-tiny |"): "scenes",
        ("docs/models.md", "The shipped weights | sensors | modaltrack-laptop | ostrack-laptop |"): "scenes-laptop",
        ("docs/models.md", "The shipped weights | clip and sensors | a |"): "real-clips",
        ("docs/models.md", "The shipped weights |  | a |"): "status",
        ("docs/training.md", "Speed | recipe |"): "training-speed",
        ("docs/training.md", "Recipes"): "recipes",
        ("docs/study/study.md", "Claims"): "study",
        ("docs/methods/sdstrack.md", "6.1 Benchmarks [paper]"): "papers",
        ("docs/methods.md", "Methods, side by side"): "costs",
        ("docs/speed.md", "Many targets"): "speed",
    }
    for (page, heading), name in kinds.items():
        claim = claim_of(page, heading)
        assert claim is not None
        assert claim.name == name, (page, heading)
    assert claim_of("elsewhere.txt", "") is None


def test_what_is_run_is_there() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert (claim.kind == "measured") == bool(claim.command and claim.quick and claim.takes and claim.agree)
        assert (claim.agree == "cards") == bool(claim.tolerance)
        for command in filter(None, (claim.command, claim.quick)):
            for word in shlex.split(command):
                assert not re.match(r"(benchmarks|tests)/", word) or (ROOT / word).exists(), word


def test_the_list_and_the_commands_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    assert all(claim.name in printed for claim in CLAIMS)
    assert cli.main(["reproduce", "real-clips", "--dry-run"]) == 0
    assert "real_clips.py modaltrack-laptop" in capsys.readouterr().out
    assert cli.main(["reproduce", "papers"]) == 0
    assert "nothing to run" in capsys.readouterr().out


def test_numbers_are_compared_with_the_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script is replaced by one that says what it is told to; the rest is the real road."""
    said = reproduce.stated("tpf-tiny", "rgb+depth")
    assert said is not None

    def pretend(success: float) -> int:
        def script(words: list[str], cwd: Path) -> object:
            table = {"tpf-tiny": {"rgb+depth": {"success": success}}}
            Path(words[-1]).write_text(json.dumps({"tables": table}))
            return type("Done", (), {"returncode": 0})

        monkeypatch.setattr("subprocess.run", script)
        return cli.main(["reproduce", "scenes", "--quick", "--clone", str(ROOT)])

    assert pretend(said + 0.005) == 0
    assert "1 numbers agree" in capsys.readouterr().out
    assert pretend(said + 0.02) == 1
    assert "1 numbers DIFFER: largest difference 0.0200" in capsys.readouterr().out


def test_rows_of_real_clips_are_named_as_cards_do(tmp_path: Path) -> None:
    rows = [{"tracker": "modaltrack-laptop", "clip": "tno_duine", "sensors": "rgb+thermal", "auc": 0.5}]
    (tmp_path / "out.json").write_text(json.dumps({"rows": rows}))
    ((name, what),) = reproduce.measured(tmp_path / "out.json")
    assert reproduce.stated(name, what) == pytest.approx(0.789, abs=0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "There is no table 'nothing'"),
        (["real-clips"], "add --data FOLDER"),
        (["scenes", "--clone", "TMP"], "is no clone of modaltrack"),
    ],
)
def test_what_lacks_is_said(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce", *(w.replace("TMP", str(tmp_path)) for w in words)]) == 1
    assert said in capsys.readouterr().err
