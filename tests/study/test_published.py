# SPDX-License-Identifier: Apache-2.0
"""The study in the docs is what its cards and measurements say."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from modaltrack.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("study", ["study", "study_laptop"])
def test_the_published_tables_come_from_the_files_beside_them(study: str, tmp_path: Path) -> None:
    published, again = DOCS / study, tmp_path / "study"
    shutil.copytree(published, again)
    names = sorted(path.name for path in published.glob("*") if path.suffix in (".md", ".svg"))
    assert len(names) > 1
    for name in names:
        (again / name).unlink()
    assert main(["study", "table", "--out", str(again)]) == 0
    for name in names:
        made, kept = ((folder / name).read_text(encoding="utf-8") for folder in (again, published))
        if name.endswith(".svg"):  # another matplotlib may lay it out a little differently
            made, kept = shown(made), shown(kept)
        assert made == kept, f"{name} is old: modaltrack study table --out docs/{study}"


def shown(svg: str) -> list[str]:
    """The words of a figure and the kinds of what is drawn in it, in order."""
    return [(e.text or "").strip() or e.tag for e in ET.fromstring(svg).iter() if not e.tag.endswith("title")]
