# SPDX-License-Identifier: Apache-2.0
"""What a user reads when something is wrong with a data set: one sentence with what was found and what to do."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks import mini

from modaltrack.benchmarks import find_root, open_benchmark
from modaltrack.benchmarks.annotation import read_rows, read_values
from modaltrack.benchmarks.vtuav import read_offsets
from modaltrack.cli import main
from modaltrack.truth import read_truth_folder

pytestmark = pytest.mark.filterwarnings("ignore::modaltrack.benchmarks.BenchmarkWarning")


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MODALTRACK_DATA", "MODALTRACK_LASHER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def broken(name: str, file: str, content: str) -> Callable[[Path], object]:
    """Open that benchmark with one file replaced and read the truth of all."""

    def act(root: Path) -> object:
        mini.build(name, root)
        mini.text(root / file.format(name=mini.names_of(name)[0]), content)
        return [e.truth() for e in open_benchmark(name, root, quiet=True)]

    return act


def archive(root: Path) -> object:
    mini.text(root / "LasHeR.zip", "PK")
    return open_benchmark("lasher", root)


def archive_itself(root: Path) -> object:
    return open_benchmark("lasher", mini.text(root / "LasHeR.zip", "PK"))


def other_benchmark(root: Path) -> object:
    return open_benchmark("lasher", mini.build("depthtrack", root))


def other_names(root: Path) -> object:
    mini.BUILDERS["rgbt210"](root, ["something"], 2)
    return open_benchmark("rgbt234", root)


def bad_toml(root: Path) -> object:
    mini.text(root / "config" / "modaltrack" / "config.toml", "[data\nlasher = 3")
    return find_root("lasher")


def toml_without_table(root: Path) -> object:
    mini.text(root / "config" / "modaltrack" / "config.toml", 'data = "here"')
    return find_root("lasher")


def no_images(root: Path) -> object:
    mini.build("depthtrack", root)
    entry = open_benchmark("depthtrack", root, quiet=True)[0]
    for file in (entry.folder / "depth").iterdir():
        file.unlink()
    return entry.clip(modalities=["depth"])


def positions_without_list(root: Path) -> object:
    mini.build("coesot", root)
    (root / "list.txt").unlink()
    return open_benchmark("coesot", root, "train")


def positions_beyond(root: Path) -> object:
    mini.build("coesot", root)
    mini.text(root / "train.txt", ["0", "7"])
    return open_benchmark("coesot", root, "train")


def labels_too_short(root: Path) -> object:
    mini.text(root / "gt_rect" / "00141_tank_outdoor2.txt", mini.rows())
    mini.text(root / "absent" / "00141_tank_outdoor2.txt", ["0"])
    return read_truth_folder("visevent", root)


def attributes_too_short(root: Path) -> object:
    mini.text(root / "gt_rect" / "00141_tank_outdoor2.txt", mini.rows())
    mini.text(root / "att" / "00141_tank_outdoor2.txt", ["0", "1"])
    return read_truth_folder("visevent", root)


def bad_offsets(root: Path) -> object:
    (root / "init_frame.npy").write_bytes(b"\x93NUMPY\x01\x00 nothing\n")
    return read_offsets(root / "init_frame.npy")


def bad_coco(root: Path) -> object:
    mini.build("coco", root)
    mini.text(root / "annotations" / "instances_train2017.json", '{"images": []}')
    return open_benchmark("coco", root)


def bad_flag(root: Path) -> object:
    mini.build("mv-rgbt", root)
    mini.text(root / "sequence_01" / "flag.txt", "depth")
    return [e.truth() for e in open_benchmark("mv-rgbt", root)]


def a_binary(root: Path) -> object:
    file = root / "groundtruth.txt"
    file.write_bytes(b"\xff\xfe\x00\x01")
    return read_rows(file)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown name": (lambda r: open_benchmark("lashr", r), "no benchmark 'lashr'.*did you mean lasher"),
    "unknown split": (lambda r: open_benchmark("lasher", r, "dev"), "LasHeR has no split 'dev'; use test, train, all"),
    "no such folder": (lambda r: open_benchmark("lasher", r / "x"), "LasHeR .*does not exist; correct the path"),
    "nothing told": (lambda r: find_root("lasher"), "Where LasHeR lies is not known.*set MODALTRACK_LASHER"),
    "empty folder": (lambda r: open_benchmark("lasher", r), "is empty and sequences of LasHeR .* were expected"),
    "archives": (archive, r"holds archives \(LasHeR.zip\).*unpack them first"),
    "an archive itself": (archive_itself, "is an archive: unpack it"),
    "another benchmark": (other_benchmark, "holds no sequence of LasHeR: .*it looks like .*DepthTrack"),
    "other names": (other_names, "1 sequences and none of the 234 of RGBT234's split all; .* something was found"),
    "bad TOML": (bad_toml, "config.toml is no valid TOML"),
    "TOML without a table": (toml_without_table, r"a table \[data\]"),
    "words among numbers": (broken("rgbt210", "{name}/init.txt", "1,2,3,4\n1,2,x,4"), "line 2: '1,2,x,4' .*no number"),
    "five numbers": (broken("rgbt210", "{name}/init.txt", "1 2 3 4 5"), "line 1 has 5 numbers; 4 .*are expected"),
    "an empty annotation": (broken("rgbt210", "{name}/init.txt", "\n"), "init.txt is empty; one row of numbers"),
    "an annotation that is no text": (a_binary, "is no text file"),
    "labels that are words": (broken("visevent", "test/{name}/absent_label.txt", "yes no"), "is no number; one value"),
    "a window of one number": (
        broken("coesot", "{name}/start_end_index.txt", "5"),
        r"start_end_index.txt holds \[5.0\] and the first and last",
    ),
    "no images": (no_images, "has no depth images in .*depth/ holds no images"),
    "positions without a list": (
        positions_without_list,
        "holds positions and the list.txt that they count in is missing",
    ),
    "positions beyond the list": (positions_beyond, "points at position 7 and .*list.txt has 3 names"),
    "labels too short": (labels_too_short, "has 1 labels for 6 boxes"),
    "attributes too short": (attributes_too_short, "has 2 values and VisEvent has 17 attributes"),
    "offsets that are none": (bad_offsets, "init_frame.npy.*write init_frame.txt with one 'name number' per line"),
    "another JSON": (bad_coco, "is not COCO's instances file"),
    "COCO without the split": (
        lambda r: open_benchmark("coco", mini.build("coco", r), "val2017"),
        "has no annotations/instances_val2017.json",
    ),
    "a strange flag": (bad_flag, "flag.txt says 'depth' and 'rgb' or 'tir' was expected"),
    "no truth folder": (lambda r: read_truth_folder("lasher", r / "x"), "The truth folder .* does not exist"),
    "a truth folder of nothing": (lambda r: read_truth_folder("lasher", r), "holds no truth of LasHeR: neither"),
    "values in words": (
        lambda r: read_values(mini.text(r / "a.txt", "1 two")),
        "a.txt holds something that is no number",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_says_what_is_wrong(case: str, tmp_path: Path) -> None:
    act, pattern = CASES[case]
    with pytest.raises(ValueError, match=r".\.$") as caught:
        act(tmp_path)
    sentence = str(caught.value)
    assert re.search(pattern, sentence), sentence
    assert "\n" not in sentence
    assert sentence[-1] == "."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "'data check' needs a name"),
        (["list", "lasher"], "did you mean: modaltrack data info lasher"),
        (["info", "lascher"], "did you mean lasher"),
        (["check", "lasher"], "Where LasHeR lies is not known"),
        (["check", "lasher", "nowhere"], "does not exist"),
        (["check", "lasher", ".", "--workers", "0"], "--workers is 0"),
    ],
)
def test_the_command_line_says_it_too(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
