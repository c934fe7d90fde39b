# SPDX-License-Identifier: Apache-2.0
"""TraX and the toolkit: messages by hand, a session in memory, and the real toolkit from evaluation to scores."""

import io
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring import vot_toolkit

from modaltrack.evaluation import vot_client
from modaltrack.evaluation.trax import PREFIX, Message, Server, compose, image_path, parse, region_to_box
from modaltrack.frame import Modality
from modaltrack.models import create
from modaltrack.results.vot import read_vot_results
from modaltrack.scoring.engine import score
from modaltrack.scoring.records import Truth


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(blacklist_characters="\r", blacklist_categories=("Cs",)), max_size=12)))
def test_what_is_composed_is_parsed(arguments: list[str]) -> None:
    line = compose("frame", arguments)
    assert "\n" not in line
    assert parse(line + "\n") == Message("frame", tuple(arguments))


def test_messages_of_the_toolkit() -> None:
    message = parse('@@TRAX:initialize "file:///a b/1.jpg" "397.0000,183.0000,100.0000,113.0000" "frame.index=1" \n')
    assert message == Message(
        "initialize", ("file:///a b/1.jpg", "397.0000,183.0000,100.0000,113.0000", "frame.index=1")
    )
    assert message.properties(2) == {"frame.index": "1"}
    assert parse("loading weights ...\n") is None


@pytest.mark.parametrize("line", ['@@TRAX:frame "file:///a', '@@TRAX:frame "a\\tb"', "@@TRAX:", '@@TRAX:frame "a\\'])
def test_broken_messages_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="TraX message"):
        parse(line)


@pytest.mark.parametrize(
    ("region", "box"),
    [("1,2,3,4", [1, 2, 3, 4]), ("1.5,2,9,2,9,8,1.5,8", [1.5, 2, 7.5, 6]), ("5,5,9,1,2,7", [2, 1, 7, 6])],
)
def test_regions(region: str, box: list[float]) -> None:
    np.testing.assert_array_equal(region_to_box(region), box)


@pytest.mark.parametrize("region", ["1,2,3", "nan,1,2,3", "m1,2,3,4", ""])
def test_regions_that_are_none(region: str) -> None:
    with pytest.raises(ValueError, match="neither a rectangle"):
        region_to_box(region)


def test_paths_are_taken_as_written(tmp_path: Path) -> None:
    odd = tmp_path / "100%20 a.png"
    odd.write_bytes(b"")
    assert image_path(f"file://{odd}") == odd
    with pytest.raises(ValueError, match="no file://"):
        image_path("image:320;240;rgb;")


def _server(lines: list[str], channels: tuple[str, ...] = ("color",)) -> tuple[Server, io.StringIO]:
    said = io.StringIO()
    return Server(io.StringIO("".join(f"{line}\n" for line in lines)), said, "test", channels), said


def test_hello_announces_the_channels() -> None:
    server, said = _server([], ("color", "depth"))
    server.hello()
    message = parse(said.getvalue())
    assert message is not None
    assert message.properties(0)["trax.channels"] == "color;depth;"
    assert message.properties(0)["trax.version"] == "3"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('@@TRAX:frame "file:///a"', "before it initialised"),
        ('@@TRAX:initialize "1,2,3,4"', "1 arguments and 2 were expected"),
        ("@@TRAX:dance", "'dance'"),
        ('@@TRAX:initialize "file:///a" "1,2,3,4" "rest"', "key=value"),
    ],
)
def test_a_broken_dialogue_is_refused(line: str, sentence: str) -> None:
    server, _ = _server([line])
    with pytest.raises(ValueError, match=sentence):
        list(server.requests())


def test_quit_ends_the_session() -> None:
    server, _ = _server(["chatter", f"{PREFIX}quit", "@@TRAX:dance"])
    assert list(server.requests()) == []


@pytest.mark.parametrize(
    ("text", "expected"), [("color,depth", ("color", "depth")), ("color; ir", ("color", "ir")), ("color", ("color",))]
)
def test_channels(text: str, expected: tuple[str, ...]) -> None:
    assert vot_client.channel_names(text) == expected


@pytest.mark.parametrize("text", ["", "color,rgb", "color,color"])
def test_channels_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        vot_client.channel_names(text)


def _image(path: Path, dtype: type = np.uint8, size: tuple[int, int] = (60, 80)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if dtype is np.uint8 else size
    cv2.imwrite(str(path), np.random.default_rng(0).integers(100, 250, shape).astype(dtype))
    return path


def test_frames_are_encoded_and_of_one_size(tmp_path: Path) -> None:
    files = [_image(tmp_path / "c.png"), _image(tmp_path / "d.png", np.uint16, (30, 40))]
    with pytest.warns(UserWarning, match="depth images are scaled"):
        frame = vot_client.read_frame(files, ("color", "depth"), {})
    assert {m: image.shape for m, image in frame.images.items()} == {
        Modality.RGB: (60, 80, 3),
        Modality.DEPTH: (60, 80, 3),
    }
    blue = cv2.imread(str(files[0]))[..., 0]
    np.testing.assert_array_equal(frame.images[Modality.RGB][..., 2], blue)


def test_a_damaged_image_is_a_missing_sensor(tmp_path: Path) -> None:
    files = [_image(tmp_path / "c.png"), tmp_path / "t.png"]
    files[1].write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="thermal is missing"):
        frame = vot_client.read_frame(files, ("color", "ir"), {})
    assert frame.missing == {Modality.THERMAL}
    with pytest.warns(match="cannot be read"), pytest.raises(ValueError, match="None of the images"):
        vot_client.read_frame(files[1:], ("ir",), {})


class _Box:
    def __init__(self, box: object, score: float = 0.25) -> None:
        self.box, self.score = np.asarray(box, float), score


class _Still:
    """A tracker that stays where it was put."""

    def __init__(self, model: object) -> None:
        self.box = np.zeros(4)

    def init(self, frame: object, box: np.ndarray) -> _Box:
        self.box = box
        return _Box(box)

    def update(self, frame: object) -> _Box:
        return _Box(self.box)


def test_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modaltrack.tracking.Tracker", _Still)
    image = f"file://{_image(tmp_path / 'c.png')}"
    again = [compose("initialize", [image, "1,2,30,40"]), compose("frame", [image])]
    server, said = _server([*again, *again, compose("frame", [image]), f"{PREFIX}quit"])
    assert vot_client.serve(None, server, {}) == 3
    answers = [parse(line) for line in said.getvalue().splitlines()]
    assert [a.name for a in answers if a] == ["hello"] + ["state"] * 5
    assert answers[1] == Message("state", ("1.0000,2.0000,30.0000,40.0000",))
    assert answers[2] == Message("state", ("1.0000,2.0000,30.0000,40.0000", "confidence=0.250000"))


def test_an_error_is_told_to_the_toolkit(tmp_path: Path) -> None:
    missing = compose("initialize", [f"file://{tmp_path / 'no.png'}", "1,2,3,4"])
    server, said = _server([missing])
    with pytest.warns(match="cannot be read"), pytest.raises(ValueError, match="None of the images"):
        vot_client.serve(create("ostrack-tiny", dim=32, depth=1, heads=2), server, {})
    assert said.getvalue().splitlines()[-1].startswith('@@TRAX:quit "trax.reason=None of the images')


def test_the_section_of_trackers_ini() -> None:
    import configparser

    ini = configparser.ConfigParser()
    ini.read_string(vot_client.trackers_ini("sdstrack-tiny", ("color", "depth")))
    section = ini["sdstrack_tiny_RGBD"]
    assert section["protocol"] == "trax"
    assert section["command"].endswith("-m modaltrack vot --model sdstrack-tiny --channels color,depth")
    assert section["command"].split()[0] in sys.executable or " " in sys.executable
    with pytest.raises(ValueError, match="identifier"):
        vot_client.trackers_ini("x", ("color",), identifier="a b")


def _weights(path: Path) -> None:
    import torch

    from modaltrack import models

    torch.manual_seed(0)
    models.save_model(models.create("sdstrack-tiny"), path, {"method": "sdstrack-tiny", "licence": "Apache-2.0"})


@vot_toolkit.needs_toolkit
@pytest.mark.parametrize(("stack", "protocol", "second"), [
    ("vot2021/rgbd", "CDTB", "depth"),
    ("vot2022/rgbd", "VOT-RGBD2022", "depth"),
    ("vot2020/rgbtir", "VOT-RGBT2020", "ir"),
])  # fmt: skip
def test_the_toolkit_drives_a_tracker_and_agrees_on_its_scores(
    tmp_path: Path, stack: str, protocol: str, second: str
) -> None:
    """Evaluation and analysis to the end: RGB with 16-bit depth or infrared, absent frames, runs both ways."""
    from modaltrack import scenes

    clip = scenes.clip(3, length=14, size=(128, 128), modalities=("rgb", "depth" if second == "depth" else "thermal"))
    assert clip.boxes is not None
    truth = clip.boxes.round(2)
    truth[6:8] = np.nan
    anchors = np.zeros(len(truth))
    anchors[[0, 4, -1]] = 1, 1, -1
    channels = {"color": "color/%08d.jpg", second: f"{second}/%08d.png"}
    vot_toolkit.make_workspace(tmp_path, stack, {"scene": truth}, (128, 128), {"scene": anchors}, channels)
    for i, frame in enumerate(clip.frames, start=1):
        place = tmp_path / "sequences" / "scene"
        cv2.imwrite(str(place / f"color/{i:08d}.jpg"), frame.images[Modality.RGB][..., ::-1])
        other = next(image for sensor, image in frame.images.items() if sensor != Modality.RGB)
        grey = cv2.cvtColor(np.ascontiguousarray(other), cv2.COLOR_BGR2GRAY)
        stored = grey.astype(np.uint16) * 16 + 300 if second == "depth" else grey
        cv2.imwrite(str(place / f"{second}/{i:08d}.png"), stored)
    _weights(tmp_path / "tiny.safetensors")
    (tmp_path / "trackers.ini").write_text(
        vot_client.trackers_ini(str(tmp_path / "tiny.safetensors"), ("color", second), "cpu")
    )
    name = "tiny_RGBD" if second == "depth" else "tiny_RGBT"
    vot_toolkit.run("-m", "vot", "evaluate", "--workspace", str(tmp_path), name)
    official = vot_toolkit.analyse(tmp_path, [name])
    results = read_vot_results(tmp_path / "results" / name)
    assert results.tracker == name
    given = [Truth("scene", truth, image_size=(128, 128), anchors=anchors)]
    ours = score(protocol, given, results.sequences).scores
    if protocol == "CDTB":
        expected = dict(zip(("Pr", "Re", "F"), official["PrecisionRecall"][0]))
    else:
        a, r, *_ = official["AverageAccuracyRobustness"][0]
        expected = {"EAO": official["EAOScore"][0][0], "A": a, "R": r}
    assert ours == pytest.approx(expected, abs=1e-9)
