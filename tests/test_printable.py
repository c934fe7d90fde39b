# SPDX-License-Identifier: Apache-2.0
"""Names from anywhere never reach a terminal or a page as control characters."""

import io
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modaltrack import cli
from modaltrack.commands import terminal
from modaltrack.printable import markup, one_line, printable, shortened

EVIL = "\x1b[2J\x1b]0;pwn\x07x\x9b31m\u202e\x7f"


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    for shown in (printable(text), one_line(text)):
        assert all(c.isprintable() or c in "\t\n" or ord(c) >= 0xA0 for c in shown)
        assert "\x1b" not in shown
    assert "\n" not in one_line(text)


@given(st.text())
def test_markup_is_xml(text: str) -> None:
    assert ET.fromstring(f"<a>{markup(text)}</a>").tag == "a"


def test_plain_names_stay_as_they_are() -> None:
    for name in ("Straße 7", "行人", "a\tb", "[events]", "naïve – yes"):
        assert printable(name) == name


def test_bytes_that_are_no_text_are_shown() -> None:
    assert printable("caf\udce9") == "caf\\xe9"


def test_errors_and_warnings(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    assert cli.main(["track", "--rgb", str(tmp_path / EVIL), "--box", "1,1,5,5"]) != 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.err + printed.out
    assert "\\x1b[2J" in printed.err
    assert cli.main([EVIL + "\nerror: forged"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_tables_lines_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = terminal.out()
    console.file = out
    rows = terminal.table(EVIL, "name", EVIL)
    rows.add_row(EVIL, "[events]")
    console.print(rows, markup=False)
    console.print(EVIL, markup=False)
    console.print(f"a {EVIL}")
    assert "\x1b" not in out.getvalue()
    assert "\x9b" not in out.getvalue()
    assert "[events]" in out.getvalue()


def test_a_tensor_name_forges_no_line(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    import torch

    torch.save({"net": {"x\nerror: forged \x1b[2J": torch.ones(1)}}, tmp_path / "a.pth")
    words = ["models", "import", str(tmp_path / "a.pth"), "--method", "ostrack", "--size", "tiny", "--report"]
    for more in ([], ["--allow-partial"]):
        cli.main([*words, *more, "--out", str(tmp_path / "b.safetensors")])
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err
        assert not any(line.startswith("error: forged") for line in (printed.out + printed.err).splitlines())


def test_a_name_of_any_length_leaves_a_line_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["track", "--rgb", "a" * 50_000 + ".png", "--box", "[" * 50_000]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert len(printed) < 1100
    for length in (1, 999, 1000, 1001, 5000):
        assert len(shortened("x" * length)) == min(length, 1000)
