# SPDX-License-Identifier: Apache-2.0
"""What the README and the manual say is what the code does."""

import re
from pathlib import Path

import pytest

from modaltrack import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_two_commands_are_there_as_written() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert "pip install . && modaltrack demo" in lines
    assert "pip install '.[dev]' && pytest" in lines


def test_the_python_of_the_readme_runs(
    cameras: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    text = (
        code[1].replace('"visible/"', repr(str(cameras / "rgb"))).replace('"infrared/"', repr(str(cameras / "thermal")))
    )
    text = text.replace('"modaltrack-laptop"', repr(str(random_weights))).replace(
        "[120, 80, 32, 64]", "[20, 20, 16, 12]"
    )
    exec(compile(text, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for verb in re.findall(r"(?:^    |`)modaltrack ([a-z]+)", text, re.MULTILINE):
        assert verb in cli.COMMANDS, verb


def test_the_manual_has_a_row_for_every_method() -> None:
    from modaltrack.models import list_models

    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for method in {name.rsplit("-", 1)[0] for name in list_models()}:
        assert f"| `{method}` |" in text, f"add a row for {method} to the table of methods in docs/models.md"


def test_the_manual_lists_the_encodings_that_exist() -> None:
    from modaltrack.sources import ENCODINGS

    text = (ROOT / "docs" / "track.md").read_text(encoding="utf-8")
    for name in ENCODINGS:
        assert f"`{name}`" in text, name
