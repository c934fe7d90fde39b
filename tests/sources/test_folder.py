# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_source
from modaltrack.sources.folder import list_images, read_image


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10.png", "9.png", "1.png"], ["1.png", "9.png", "10.png"]),
        (["v000018.jpg", "v0002.jpg", "v000.jpg"], ["v000.jpg", "v0002.jpg", "v000018.jpg"]),
        (["00002v.JPG", "00010v.jpg", "00001v.Jpg"], ["00001v.Jpg", "00002v.JPG", "00010v.jpg"]),
        (["cam2_frame3.bmp", "cam9_frame1.bmp"], ["cam9_frame1.bmp", "cam2_frame3.bmp"]),
        (["b.png", "a.png"], ["a.png", "b.png"]),
        (["b1.png", "a1.png", "notes.txt", ".hidden1.png", "._1.png"], ["a1.png", "b1.png"]),
        (["1.tif", "2.TIFF", "3.jpeg"], ["1.tif", "2.TIFF", "3.jpeg"]),
    ],
)
def test_order_is_the_last_number(tmp_path: Path, names: list[str], order: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [f.name for f in list_images(tmp_path)] == order


def test_colour_comes_out_as_rgb(write_folder: Callable[..., Path], colours: Callable[..., list[Any]]) -> None:
    source = open_source(write_folder("rgb", colours(3)), "rgb")
    images = [image for _, image in source]
    assert len(source) == 3
    assert [image[0, 0].tolist() for image in images if image is not None] == [[10 * i, 100, 200] for i in range(3)]
    assert len(list(source)) == 3  # a second pass starts afresh


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_16_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    counts = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    cv2.imwrite(str(tmp_path / f"1{suffix}"), counts)
    assert np.array_equal(read_image(tmp_path / f"1{suffix}"), counts)


def test_path_with_other_letters(tmp_path: Path) -> None:
    folder = tmp_path / "视频 ü"
    folder.mkdir()
    (folder / "1.png").write_bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    assert len(list(open_source(folder, "thermal"))) == 1


def test_stamps_and_rates(write_folder: Callable[..., Path], colours: Callable[..., list[Any]]) -> None:
    stamped = open_source(write_folder("a", colours(4), [5.0, 5.1, 5.3, 5.4]), "rgb")
    assert stamped.has_time
    assert [t for t, _ in stamped] == [5.0, 5.1, 5.3, 5.4]
    assert stamped.fps == pytest.approx(10)
    counted = open_source(write_folder("b", colours(3)), "rgb", fps=20)
    assert not counted.has_time
    assert [t for t, _ in counted] == [0, 0.05, 0.1]
    unknown = open_source(tmp := write_folder("c", colours(3)), "rgb")
    assert unknown.fps is None
    assert all(np.isnan(t) for t, _ in unknown), tmp


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_image_in_the_middle(
    write_folder: Callable[..., Path], colours: Callable[..., list[Any]], damage: str, suffix: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    folder = write_folder("rgb", [noise] * 4, suffix=suffix)
    file = folder / f"000002{suffix}"
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"not an image at all"}[damage])
    source = open_source(folder, "rgb")
    with pytest.warns(SourceWarning, match=f"000002{suffix}") as said:
        images = [image for _, image in source]
    assert len(said) == 1
    assert [image is None for image in images] == [False, False, True, False]


def test_mixed_sizes_are_scaled_to_the_first(
    write_folder: Callable[..., Path], colours: Callable[..., list[Any]]
) -> None:
    folder = write_folder("rgb", [*colours(2), *colours(2, 16, 24)])
    with pytest.warns(SourceWarning, match="24x16.*48x32") as said:
        shapes = [image.shape for _, image in open_source(folder, "rgb") if image is not None]
    assert shapes == [(32, 48, 3)] * 4
    assert len(said) == 1


def test_two_files_of_one_name_are_mentioned(
    write_folder: Callable[..., Path], colours: Callable[..., list[Any]]
) -> None:
    folder = write_folder("rgb", colours(2))
    cv2.imwrite(str(folder / "000001.jpg"), colours(1)[0])
    with pytest.warns(SourceWarning, match="'000001'"):
        assert len(open_source(folder, "rgb")) == 3


def test_remarks_on_what_changes_numbers(write_folder: Callable[..., Path]) -> None:
    wide = [np.full((8, 8), 3000, np.uint16)] * 2
    with pytest.warns(SourceWarning, match="minimum and maximum"):
        open_source(write_folder("t", wide), "thermal")
    with pytest.warns(SourceWarning, match="8-bit depth"):
        open_source(write_folder("d", [np.full((8, 8), 30, np.uint8)]), "depth")
    holes = np.zeros((8, 8), np.uint16)
    holes[0] = 900
    with pytest.warns(SourceWarning, match="more than half"):
        open_source(write_folder("h", [holes]), "depth")
    with pytest.warns(SourceWarning, match="1/257"):
        open_source(write_folder("w", [np.full((8, 8, 3), 30000, np.uint16)]), "rgb")
