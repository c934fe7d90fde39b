# SPDX-License-Identifier: Apache-2.0
"""The page and its figures: that every number on it is the scorer's, that it loads nothing, that bad input is said."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.evaluation.toy import make_clips

from modaltrack import cli
from modaltrack.frame import Result
from modaltrack.report import Entry, Picture, figures, main_metric, ranked
from modaltrack.report.entries import moments, shown_overlaps, worst_sequences
from modaltrack.report.figures import wide
from modaltrack.report.film import with_boxes
from modaltrack.report.palette import colour, dash
from modaltrack.results import write_results
from modaltrack.scoring.engine import score
from modaltrack.scoring.records import Truth

LENGTHS = {"a": 8, "b": 12, "c": 6, "<d>": 7}
MARKS = {"a": {"FM", "SV", "OV"}, "b": {"FM"}, "c": {"OV", "SV"}, "<d>": {"SV"}}


def truth(name: str) -> Truth:
    boxes = np.array([[10 + 3 * i, 10 + i, 16.0, 12] for i in range(LENGTHS[name])])
    return Truth(name, boxes, attributes=frozenset(MARKS[name]))


def result(name: str, error: float) -> Result:
    boxes = truth(name).boxes + np.array([error, 0, 0, 0])
    boxes[-2:, 0] += 40 * (error > 2)
    return Result(name, boxes, seconds=np.full(len(boxes), 0.01))


def entry(name: str, error: float, style: int) -> Entry:
    results = {n: result(n, error) for n in LENGTHS}
    report = score("LasHeR", [truth(n) for n in LENGTHS], results, attributes=True)
    return Entry(name, report, results, 100.0 / (style + 1), style)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return [entry("middling", 4, 0), entry("good", 1, 1), entry("bad & ugly", 9, 2)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips/ and the results of three trackers."""
    root = tmp_path_factory.mktemp("report")
    lengths = {"a": 8, "b": 12, "c": 6}
    make_clips(root / "clips", lengths)
    for name, error in (("good", 1.0), ("middling", 4.0), ("bad", 9.0)):
        results = {n: result(n, error) for n in lengths}
        write_results(root / name, results, tracker=name)
    return root


class Links(HTMLParser):
    """Collects what a page would load, and whether its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        assert tag not in ("script", "link", "iframe")
        self.loads += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in ("meta", "img", "br"):
            self.tags.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        pass

    def handle_endtag(self, tag) -> None:
        assert self.tags.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


def parsed(file: Path) -> Links:
    page = Links()
    page.feed(file.read_text(encoding="utf-8"))
    assert page.tags == []
    return page


def test_the_page_says_the_scorers_numbers_and_loads_nothing(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    line = ["report", *(str(made / n) for n in ("bad", "good", "middling")), "--benchmark", "folder"]
    assert cli.main([*line, "--data", str(made / "clips"), "--out", str(out)]) == 0
    page = parsed(out)
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in page.loads)
    assert sum(link.startswith("data:") for link in page.loads) == 2 * 3 * 6  # sensors, sequences, frames
    assert not re.search(r"url\((?!#)", out.read_text())
    picture = next(link for link in page.loads if link.startswith("data:"))
    data = np.frombuffer(base64.b64decode(picture.partition(",")[2]), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (200, 300, 3)
    words = " ".join(page.words)
    from modaltrack.truth.own import own_protocol

    for name, error in (("good", 1.0), ("middling", 4.0), ("bad", 9.0)):
        report = score(own_protocol("folder"), [truth(n) for n in "abc"], {n: result(n, error) for n in "abc"})
        assert f"[{report.scores['SR']:.3f}] {name}" in words
        assert f"[{report.scores['PR']:.3f}] {name}" in words
    assert "modaltrack's own, 1.0" in words
    assert "100.0" in words
    assert words.index("good") < words.index("middling") or "good · middling" not in words
    for name in ("success", "precision", "normalised-precision", "scores", "comparison", "speed"):
        ET.parse(tmp_path / "page" / f"{name}.svg")


def test_names_cannot_break_the_page(entries: list[Entry], tmp_path: Path) -> None:
    from modaltrack.report import page

    file = tmp_path / "x.html"
    drawings = figures(entries, "SR", {"SR": "success", "PR": "precision", "NPR": "normalised"}, {})
    file.write_text(page(entries, "SR", drawings, {}))
    words = parsed(file).words
    assert "bad & ugly" in words
    assert "<d>" in words


def test_legends_rank_and_carry_the_score_of_their_curve(entries: list[Entry]) -> None:
    assert main_metric(entries[0].report) == "SR"
    assert [e.name for e in ranked(entries, "SR")] == ["good", "middling", "bad & ugly"]
    drawings = figures(entries, "SR", {"SR": "success", "PR": "precision", "NPR": "normalised"}, {})
    assert list(drawings)[:3] == ["success", "precision", "normalised-precision"]
    assert {"scores", "attributes", "speed"} <= set(drawings)
    for name, metric in (("success", "SR"), ("precision", "PR"), ("normalised-precision", "NPR")):
        texts = [t.text or "" for t in ET.fromstring(drawings[name].svg()).iter() if t.tag.endswith("text")]
        legend = [t for t in texts if t.startswith("[")]
        order = ranked(entries, metric)
        assert legend == [f"[{e.report.scores[metric]:.3f}] {e.name}" for e in order]
        assert any("LasHeR (4 sequences)" in t for t in texts)
    # a legend whose score the protocol does not have has none
    bare = figures(entries, "SR", {"SR": "success"}, {})["precision"]
    assert "[" not in "".join(t.text or "" for t in ET.fromstring(bare.svg()).iter())


def test_a_curve_is_where_its_values_are(entries: list[Entry]) -> None:
    drawing = figures(entries[:1], "SR", {"SR": "success"}, {})["success"]
    x, y = entries[0].report.curves["success"]
    line = drawing.figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), np.stack([x, y], 1))
    paths = [e.get("d", "") for e in ET.fromstring(drawing.svg()).iter() if "stroke-width: 1.7" in e.get("style", "")]
    points = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", paths[0]), float)
    across, down = points[0] - points[-1]  # the curve runs from threshold 0 to 1, and from y[0] to y[-1]
    np.testing.assert_allclose((points[:, 0] - points[0, 0]) / -across, x, atol=1e-4)
    np.testing.assert_allclose(y[-1] + (points[:, 1] - points[-1, 1]) / down * (y[0] - y[-1]), y, atol=1e-4)


def test_long_term_scores_are_drawn_as_precision_over_recall(entries: list[Entry]) -> None:
    from dataclasses import replace

    grid = np.array([np.inf, 0.5, -np.inf])
    curves = {"Pr": (grid, np.array([1.0, 0.8, 0.6])), "Re": (grid, np.array([0.0, 0.4, 0.5])), "F": (grid, grid)}
    report = replace(entries[0].report, curves=curves, scores={"F": 0.545, "Pr": 0.6, "Re": 0.5}, intervals={})
    drawings = figures([replace(entries[0], report=report)], "F", {"Pr": "", "Re": "", "F": ""}, {})
    assert {"precision-over-recall", "scores"} <= set(drawings)
    assert not {"Pr", "Re", "F"} & set(drawings)
    text = drawings["precision-over-recall"].svg()
    assert "[0.545] middling" in text
    assert "nan" not in text
    assert "inf" not in text


def test_twenty_trackers_are_told_apart(entries: list[Entry]) -> None:
    assert len({(colour(n), dash(n)) for n in range(20)}) == 20
    many = [entry(f"tracker {n}", n / 2, n) for n in range(12)]
    drawing = figures(many, "SR", {"SR": "success"}, {})["success"]
    assert drawing.figure.legends  # below the plot, not inside of it
    assert not drawing.figure.axes[0].get_legend()
    ET.fromstring(drawing.svg())


def test_worst_failures_and_their_moments(entries: list[Entry]) -> None:
    chosen = worst_sequences(entries, "SR", 3)
    assert len(chosen) == 3
    assert "middling's worst" in next(iter(chosen.values()))
    overlap = np.ones(100)
    overlap[60:] = 0
    rows = moments({"x": overlap})
    assert rows[0] == 0
    assert {58, 60, 99} <= set(rows)
    assert len(rows) == 6
    assert len(moments({"x": np.array([1.0] * 6 + [0, 0])})) == 6
    assert moments({"x": np.ones(3)}) == [0, 1, 2]
    assert moments({"x": np.full(9, np.nan)})[-1] == 8


def test_overlaps_for_pictures() -> None:
    boxes = np.array([[0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10], [0, 0, 10, 10]])
    told = Truth("x", boxes)
    said = Result("x", np.array([[0, 0, 10, 10], [0, 0, 5, 5], [np.nan] * 4]))
    np.testing.assert_array_equal(shown_overlaps(told, said), [1, np.nan, 0, 0])
    sparse = Truth("x", boxes[:2], rows=np.array([0, 2]))
    np.testing.assert_array_equal(shown_overlaps(sparse, said), [1, np.nan])


def test_boxes_on_the_pictures() -> None:
    image = np.full((100, 150, 3), 128, np.uint8)
    nothing = np.full(4, np.nan)
    picture = Picture(0, {}, np.array([50.0, 40, 20, 20]), {"x": np.array([10.0, 10, 20, 20]), "y": nothing})
    canvas = with_boxes(image, picture, {"x": colour(1), "y": colour(2)})
    assert canvas.shape == (200, 300, 3)
    assert canvas[20, 40].tolist() == [0xD5, 0x5E, 0x00]
    assert canvas[80, 120].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.34), (0, 50), (-0.02, 0.13), (0.5, 0.5), (0, 1500)])
def test_limits_hold_the_values(low: float, high: float) -> None:
    ends = wide([low, high])
    assert ends[0] <= low <= high <= ends[1]
    assert ends[0] < ends[1]


BAD = [
    (["nowhere"], "There are no results at nowhere"),
    (["good", "good"], "Two of the results are called 'good'"),
    (["good", "--out", "page.pdf"], "the page is HTML"),
    (["good", "--failures", "-1"], "give 0 or more"),
    (["good", "--protocol", "olympics"], "There is no protocol 'olympics'"),
]


@pytest.mark.parametrize(("more", "sentence"), BAD, ids=[b[1] for b in BAD])
def test_bad_input_has_its_sentence(
    made: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    assert cli.main(["report", *more, "--benchmark", "folder", "--data", "clips"]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_scenes_are_those_that_the_results_were_made_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    from modaltrack import scenes

    for name, clips, version in (("a", 2, scenes.VERSION), ("b", 4, scenes.VERSION), ("old", 2, "scenes-0")):
        made = {n: Result(n, np.ones((2, 4))) for n in ("easy-000", "hard-001")}
        write_results(tmp_path / name, made)
        facts = {"tracker": name, "scenes": {"version": version, "clips": clips, "length": 2}}
        (tmp_path / name / "run.json").write_text(json.dumps({"facts": facts}))
    line = ["report", "--benchmark", "scenes", "--out", str(tmp_path / "s.html"), "--failures", "0"]
    assert cli.main([*line, str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "different scenes" in capsys.readouterr().err
    assert cli.main([*line, str(tmp_path / "old")]) == 1
    assert "made on scenes-0" in capsys.readouterr().err
    assert cli.main([*line, str(tmp_path / "a")]) == 0
    assert "2 sequences" in (tmp_path / "s.html").read_text()


def test_pdf(made: Path, tmp_path: Path) -> None:
    line = ["report", f"x={made / 'good'}", "--benchmark", "folder", "--data", str(made / "clips"), "--pdf"]
    assert cli.main([*line, "--out", str(tmp_path / "p.html"), "--failures", "0"]) == 0
    drawn = {path.stem for path in (tmp_path / "p").glob("*.svg")}
    assert drawn >= {"success", "precision", "normalised-precision", "scores", "speed"}
    assert {path.stem for path in (tmp_path / "p").glob("*.pdf")} == drawn
    for name in drawn:
        assert (tmp_path / "p" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert "Worst failures" not in (tmp_path / "p.html").read_text()


def test_fonts_in_pdfs_are_truetype_and_the_bytes_are_the_same(entries: list[Entry]) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pypdf, which reads the fonts, is not installed: pip install pypdf")
    first, again = (figures(entries, "SR", {"SR": "success"}, {}) for _ in range(2))
    assert first["success"].svg() == again["success"].svg()
    assert first["scores"].pdf() == again["scores"].pdf()
    for name, drawing in first.items():
        data = drawing.pdf()
        page = pypdf.PdfReader(io.BytesIO(data)).pages[0]
        fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
        assert fonts, name
        for font in fonts:
            inner = font["/DescendantFonts"][0].get_object() if font["/Subtype"] == "/Type0" else font
            assert inner["/Subtype"] in ("/TrueType", "/CIDFontType2"), name
            assert "/FontFile2" in inner["/FontDescriptor"].get_object(), name
        assert "SR" in page.extract_text() or name != "scores"


def test_figures_do_not_depend_on_the_users_matplotlib(entries: list[Entry]) -> None:
    import matplotlib

    plain = figures(entries, "SR", {"SR": "success"}, {})["success"].svg()
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.fonttype": "path", "axes.grid": False}):
        assert figures(entries, "SR", {"SR": "success"}, {})["success"].svg() == plain


def test_without_matplotlib_a_sentence_says_what_to_install(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = ["report", str(made / "good"), "--benchmark", "folder", "--data", str(made / "clips")]
    assert cli.main([*line, "--out", str(tmp_path / "p.html")]) == 1
    assert "pip install matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


def test_an_outlier_of_speed_stands_at_the_edge_with_its_numbers(entries: list[Entry]) -> None:
    from modaltrack.report.speed import speed_figure

    report = entries[0].report
    timed = [Entry(f"t{n}", report, speed=20.0 + n) for n in range(6)]
    axes = speed_figure([*timed, Entry("far", report, speed=9e6), Entry("none", report)], "SR").figure.axes[0]
    assert axes.get_xlim()[1] < 1000
    texts = [text.get_text() for text in axes.texts]
    assert f"far (9e+06 fps, {report.scores['SR']:.3f})" in texts
    assert "t0" in texts
    assert "without times: none" in axes.get_xlabel()
    assert "triangles" in axes.get_xlabel()
    calm = speed_figure(timed, "SR").figure.axes[0]
    assert "triangles" not in calm.get_xlabel()


@pytest.mark.parametrize(
    "names", [["_hidden", "a$b$c", "two\nlines", "\x1b[2J"], ["\udc80", "<b>&", "x" * 300, "跟踪器"]]
)
def test_strange_names_are_drawn_as_they_are(entries: list[Entry], names: list[str]) -> None:
    from dataclasses import replace

    from modaltrack.report.drawing import label

    some = [replace(entries[0], name=name, style=style) for style, name in enumerate(names)]
    for key, drawing in figures(some, "SR", {"SR": "success"}, {}).items():
        texts = "".join(t.text or "" for t in ET.fromstring(drawing.svg()).iter() if t.tag.endswith("text"))
        assert [name for name in names if label(name, 20).rstrip("…") not in texts] == [], key
        assert "\x1b" not in texts


def test_colours_and_order_are_chosen(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("good", "middling", "bad")
    line = ["report", *(str(made / n) for n in names), "--benchmark", "folder", "--data", str(made / "clips")]
    line += ["--out", str(tmp_path / "p.html"), "--failures", "0"]
    assert cli.main([*line, "--order", "bad,good", "--colours", "bad=#123456"]) == 0
    words = parsed(tmp_path / "p.html").words
    rows = [word for word in words if word in names]
    assert rows[:3] == ["bad", "good", "middling"]
    assert "#123456" in (tmp_path / "p" / "success.svg").read_text()
    for colours, sentence in (("bad=red", "NAME=#rrggbb was expected"), ("worse=#123456", "the trackers are")):
        assert cli.main([*line, "--colours", colours]) == 1
        assert sentence in capsys.readouterr().err


def test_several_benchmarks_have_one_table(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modaltrack import scenes

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, error in (("good", 1.0), ("bad", 9.0)):
        write_results(tmp_path / name / "folder", {n: result(n, error) for n in "abc"})
    rendered = {n: Result(n, np.ones((2, 4))) for n in ("easy-000", "hard-001")}
    write_results(tmp_path / "good" / "scenes", rendered)
    facts = {"facts": {"scenes": {"version": scenes.VERSION, "clips": 2, "length": 2}}}
    (tmp_path / "good" / "scenes" / "run.json").write_text(json.dumps(facts))
    line = ["report", str(tmp_path / "good"), str(tmp_path / "bad"), "--out", str(tmp_path / "all.html")]
    line += ["--benchmark", "folder,scenes", "--failures", "0", "--csv", "--latex"]
    assert cli.main([*line, "--data", str(made / "clips")]) == 1
    assert "folder=PATH,scenes=PATH was expected" in capsys.readouterr().err
    assert cli.main([*line, "--data", f"folder={made / 'clips'}"]) == 0
    assert "bad: no results of scenes, left out" in capsys.readouterr().out
    front = parsed(tmp_path / "all.html")
    assert front.loads == ["all/folder.html", "all/scenes.html"]
    for link in front.loads:
        parsed(tmp_path / link)
    rows = list(csv.reader((tmp_path / "all" / "across.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["Tracker", "good", "bad"]
    by_name = dict(zip(rows[0], rows[2], strict=True))
    from modaltrack.truth.own import own_protocol

    report = score(own_protocol("folder"), [truth(n) for n in "abc"], {n: result(n, 9.0) for n in "abc"})
    assert float(by_name["folder SR"]) == report.scores["SR"]
    assert by_name["scenes SR"] == ""
    assert r"\multicolumn{3}{c}{folder}" in (tmp_path / "all" / "across.tex").read_text()


def test_a_real_browser_lays_it_out_on_a_phone(made: Path, tmp_path: Path) -> None:
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    out = tmp_path / "page.html"
    line = ["report", str(made / "good"), str(made / "bad"), "--benchmark", "folder", "--data", str(made / "clips")]
    assert cli.main([*line, "--out", str(out)]) == 0
    probe = out.read_text().replace(
        "</body>",
        "<script>addEventListener('load',()=>{document.title='w'+document.documentElement.scrollWidth+'/'+innerWidth"
        "+' i'+[...document.images].filter(i=>!i.naturalWidth).length})</script></body>",
    )
    (tmp_path / "probe.html").write_text(probe)
    (tmp_path / "phone.html").write_text(
        "<iframe style='width:390px;height:800px;border:0' src='probe.html'></iframe>"
        "<script>addEventListener('load',()=>setTimeout(()=>{document.title=frames[0].document.title},300))</script>"
    )
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    more = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [*command, *more, f"file://{tmp_path / 'phone.html'}"], capture_output=True, text=True, timeout=120, check=False
    )
    found = re.search(r"<title>w(\d+)/(\d+) i(\d+)</title>", done.stdout)
    assert found, done.stdout[:500]
    assert int(found[1]) <= int(found[2]) == 390  # nothing sticks out sideways
    assert found[3] == "0"  # every picture was read


def test_how_far_lost_can_be_believed_is_shown(tmp_path: Path) -> None:
    """The target of ten frames is absent in three; one tracker says so from the second on, one has no status."""
    clips = make_clips(tmp_path / "clips", {"a": 10})
    rows = (clips / "a" / "boxes.txt").read_text().splitlines()
    (clips / "a" / "boxes.txt").write_text("\n".join([*rows[:4], *["nan,nan,nan,nan"] * 3, *rows[7:]]) + "\n")
    boxes = "".join(f"{i},{i},10,10\n" for i in range(10))
    for name, status in (("says", "0000022200"), ("silent", "")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.txt").write_text(boxes)
        (folder / "a_confidence.txt").write_text("\n".join("1999211899"[i] for i in range(10)) + "\n")
        if status:
            (folder / "a_status.txt").write_text("\n".join(status) + "\n")
    results = [str(tmp_path / name) for name in ("says", "silent")]
    line = ["report", *results, "--benchmark", "folder", "--data", str(clips), "--failures", "0"]
    assert cli.main([*line, "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    section = page[page.index("Lost and found") : page.index("Sequences (")]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)]
    assert cells[1][:2] == ["33.3%", "1.000"]  # three of nine; every present frame has a higher score
    assert cells[1][3:] == ["1", "100.0%", "1", "16.7%", "33.3%"]  # lost in frame 7 is false, frame 4 is missed
    assert cells[2][:2] == cells[1][:2]
    assert cells[2][3:] == ["–"] * 5


def test_without_absence_nothing_is_said_of_it(entries: list[Entry], made: Path) -> None:
    line = ["report", str(made / "good"), "--benchmark", "folder", "--data", str(made / "clips"), "--failures", "0"]
    assert cli.main([*line, "--out", str(made / "whole.html")]) == 0
    assert "Lost and found" not in (made / "whole.html").read_text()
