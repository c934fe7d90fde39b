# SPDX-License-Identifier: Apache-2.0
"""What comments and pages cite exists in this repository: the document, and the section of it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READ = sorted(
    file
    for folder in ("src", "tests", "benchmarks", "docs")
    for suffix in ("py", "md")
    for file in (ROOT / folder).rglob(f"*.{suffix}")
    if file.name != "test_documents.py"
)
# a document and, behind it, sections: "docs/methods/ostrack.md 5 and 8" or 'docs/data.md, "Rules of reading", 2'
CITED = re.compile(
    r"(docs/[\w/-]+\.(?:md|rst))((?:,?\s(?:and\s|to\s)?\d+(?:\.\d+)*(?=[\s.,;:)]|$))*)(?:,\s\"([^\"]+)\")?",
    re.MULTILINE,
)
CHAPTERS = "|".join(sorted(file.stem for file in (ROOT / "docs" / "methods").glob("*.md")))
ELSEWHERE = {"docs/protocol.rst"}  # of votchallenge/trax
# papers have equations and tables, not "specs": that is what notes outside the repository were called
NOT_HERE = re.compile(r"\bspecs?[ /]\w+\.md|\bspecs?( section)? \d|\b(our|the) specifications?\b|\.\./shared/specs")


def headings(page: Path) -> tuple[set[str], set[str]]:
    """Numbers ("1.6") and texts of a page's headings."""
    found = re.findall(r"^#+ (?:(\d+(?:\.\d+)*)\.? )?(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {number for number, _ in found if number}, {text for _, text in found}


def broken(text: str) -> list[str]:
    """Citations in a text that lead nowhere."""
    wrong = NOT_HERE.search(text)
    found = [wrong[0]] if wrong else []
    joined = re.sub(r"\n[ #]*", " ", text)  # a citation may run over the end of a line
    joined = re.sub(rf"(?<=[( ])({CHAPTERS})\.md(?= \d)", r"docs/methods/\1.md", joined)  # the short form of tables
    for document, numbers, quoted in CITED.findall(joined):
        if document in ELSEWHERE:
            continue
        if not (ROOT / document).is_file():
            found.append(document)
            continue
        known, texts = headings(ROOT / document)
        found += [f"{document} {n}" for n in re.findall(r"\d+(?:\.\d+)*", numbers) if n not in known]
        found += [f"{document}, {quoted!r}"] if quoted and quoted not in texts else []
    return found


def test_what_is_cited_is_in_the_repository() -> None:
    found = {str(file.relative_to(ROOT)): broken(file.read_text(encoding="utf-8")) for file in READ}
    assert {file: wrong for file, wrong in found.items() if wrong} == {}


def test_a_citation_that_leads_nowhere_is_found() -> None:
    assert broken("see docs/methods/sdstrack.md 2.3 and 4, docs/evaluation.md 9.1\n# to 10.") == []
    assert broken("docs/methods/sdstrack.md 2 and 77.") == ["docs/methods/sdstrack.md 77"]
    assert broken("SR .432 over .389 (sdstrack.md 6.33)") == ["docs/methods/sdstrack.md 6.33"]
    assert broken("docs/methods/nothing.md 1") == ["docs/methods/nothing.md"]
    assert broken('docs/data.md, "Rules of walking", 2') == ["docs/data.md, 'Rules of walking'"]
    assert broken("(spec " + "1.6)") == ["spec 1"]
