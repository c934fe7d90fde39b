# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks: one row each (docs/data.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modaltrack.benchmarks.annotation import read_text
from modaltrack.benchmarks.layout import Layout
from modaltrack.benchmarks.vtuav import first_annotated
from modaltrack.frame import Modality
from modaltrack.plugins import Table, expected
from modaltrack.scoring import attributes

RGB, THERMAL, DEPTH, EVENT = Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes:
        name: as typed.
        title: as printed, and as the folder is called.
        splits: split -> number of sequences, the first is the default; a file lists/<name>_<split>.txt ships where the
            official list could be had.
        on_disk: split -> list files that downloads bring along.
        frames: of the default split, per sensor.
        attributes: challenge names in the order of the attribute files. absent: how its own program marks an absent
            target.
    """

    name: str
    title: str
    layout: Layout
    splits: Mapping[str, int]
    frames: int | None = None
    on_disk: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    where: str = ""
    licence: str = "not stated"
    traps: tuple[str, ...] = ()
    reader: str = "sequences"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(self.layout.images)


def _mv_rgbt(folder: Path) -> Layout | None:
    """The folders of an MV-RGBT sequence depend on its flag.txt (docs/data.md, "What is read")."""
    if not (folder / "flag.txt").is_file():
        return None
    flag = read_text(folder / "flag.txt").strip().lower()
    truth = (f"{folder.name}_1.txt",)
    if flag == "rgb":
        return Layout({RGB: ("color",), THERMAL: ("rgb_ref", "infrared")}, truth)
    if flag != "tir":
        raise ValueError(f"{folder / 'flag.txt'} says {flag[:20]!r} and 'rgb' or 'tir' was expected.")
    if (folder / "tir_ref").is_dir():
        return Layout({RGB: ("tir_ref",), THERMAL: ("infrared",)}, truth)
    return Layout({RGB: ("color",), THERMAL: ("infrared",)}, truth)


def _thermal_pair(**more: tuple[str, ...]) -> Layout:
    return Layout({RGB: ("visible",), THERMAL: ("infrared",)}, **more)  # type: ignore[arg-type]


def _depth(*truth: str, **more: object) -> Layout:
    return Layout({RGB: ("color",), DEPTH: ("depth",)}, truth, **more)  # type: ignore[arg-type]


VISIBLE, INFRARED = "visible", "infrared"

ROWS = (
    Row(
        "gtot",
        "GTOT",
        Layout(
            {RGB: ("v",), THERMAL: ("i",)},
            ("groundTruth_v.txt",),
            {VISIBLE: ("groundTruth_v.txt",), INFRARED: ("groundTruth_i.txt",)},
            corners=True,
        ),
        {"all": 50},
        7850,
        attributes=attributes.GTOT,
        where="Baidu, linked from github.com/mmic-lcl/Datasets-and-benchmark-code",
        licence="research only",
        traps=("annotation is x1 y1 x2 y2 with w = x2 - x1", "images are png in some copies, bmp in others"),
    ),
    Row(
        "rgbt210",
        "RGBT210",
        _thermal_pair(truth=("init.txt",)),
        {"all": 210},
        104706,
        attributes=attributes.RGBT234,
        where="Baidu, linked from github.com/mmic-lcl/Datasets-and-benchmark-code",
        traps=("same names as RGBT234 with other boxes: results must be scored with the truth of the set they report",),
    ),
    Row(
        "rgbt234",
        "RGBT234",
        Layout(
            {RGB: ("visible",), THERMAL: ("infrared",)},
            ("visible.txt", "init.txt"),
            {VISIBLE: ("visible.txt", "init.txt"), INFRARED: ("infrared.txt",)},
        ),
        {"all": 234},
        116650,
        attributes=attributes.RGBT234,
        where="Baidu, linked from github.com/mmic-lcl/Datasets-and-benchmark-code",
        traps=("frame 1 differs between the sensors in 170 sequences", "contained in some thermal training sets"),
    ),
    Row(
        "lasher",
        "LasHeR",
        _thermal_pair(truth=("visible.txt", "init.txt", "infrared.txt")),
        {"test": 245, "train": 979, "all": 1224},
        220703,
        attributes=attributes.LASHER,
        where="Baidu or TeraBox, linked from github.com/BUGPLEASEOUT/LasHeR",
        licence="research only",
        traps=(
            "frame names are irregular (v000.jpg, v0001.jpg, v000018.jpg): folders are sorted by number, never globbed",
            "some folder lacks visible.txt: init.txt or infrared.txt is read",
            "early uploads have damaged images (blueboy85): data check --deep finds them",
        ),
    ),
    Row(
        "vtuav",
        "VTUAV",
        Layout(
            {RGB: ("rgb",), THERMAL: ("ir", "ir_gray")},
            ("rgb.txt",),
            {VISIBLE: ("rgb.txt",), INFRARED: ("ir.txt",)},
            every=10,
            offsets=first_annotated,
        ),
        {"test-st": 176, "test-lt": 74, "train-st": 157, "val-st": 50, "train-lt": 33, "val-lt": 10, "all": 500},
        on_disk={"test-st": ("VTUAV-ST.txt",), "test-lt": ("VTUAV-LT.txt",)},
        where="Google Drive or Baidu, linked from github.com/zhang-pengyu/DUT-VTUAV",
        traps=(
            "one box per ten images; row k belongs to file number 10 k + the sequence's offset",
            "put the authors' init_frame.npy beside the sequences: 47 of them do not start at their first image",
        ),
    ),
    Row(
        "mv-rgbt",
        "MV-RGBT",
        Layout(
            {RGB: ("visible", "color", "tir_ref"), THERMAL: ("infrared", "rgb_ref")},
            ("{name}_1.txt", "visible.txt", "infrared.txt"),
            {VISIBLE: ("{name}_1.txt", "visible.txt"), INFRARED: ("{name}_1.txt", "infrared.txt")},
            variant=_mv_rgbt,
        ),
        {"test": 122},
        where="Baidu, linked from the authors' repository",
        traps=("flag.txt decides which folders hold which sensor",),
    ),
    Row(
        "depthtrack",
        "DepthTrack",
        _depth("groundtruth.txt", vot=True),
        {"test": 50, "train": 152},
        76373,
        on_disk={"test": ("list.txt",)},
        where="Zenodo 10.5281/zenodo.5792146 (test), .5794115 and .5837926 (train)",
        traps=(
            "absent rows are nan, [x,y,-1,-1] or [x,y,0,0]",
            "toy07_indoor_320 (train) has more boxes than images",
            "the VOT toolkit loads CDTB instead when sequences/list.txt is missing",
        ),
    ),
    Row(
        "cdtb",
        "CDTB",
        _depth("groundtruth.txt", vot=True),
        {"test": 80},
        101956,
        on_disk={"test": ("list.txt",)},
        where="vot-toolkit: vot initialize vot2021/rgbd (the same data as 2019 and 2020)",
    ),
    Row(
        "vot-rgbd2022",
        "VOT-RGBD2022",
        _depth("groundtruth.txt", vot=True),
        {"test": 127},
        on_disk={"test": ("list.txt",)},
        where="vot-toolkit: vot initialize vot2022/rgbd",
        traps=("every anchor is a run of its own",),
    ),
    Row(
        "rgbd1k",
        "RGBD1K",
        _depth("groundtruth_rect.txt", "groundtruth.txt", vot=True),
        {"test": 50, "train": 1000},
        117900,
        on_disk={"test": ("list.txt",), "train": ("rgbd1k_train_split.txt",)},
        where="Baidu or Google Drive, linked from github.com/xuefeng-zhu5/RGBD1K",
        licence="CC BY-NC-SA 4.0",
        traps=("training sequences stand in category folders (Adapter/adapter1)",),
    ),
    Row(
        "arkittrack",
        "ARKitTrack",
        _depth("groundtruth.txt", "groundtruth_rect.txt", vot=True, absent_row=(-1.0, -1.0, 1.0, 1.0)),
        {"test": 50, "train": 250},
        on_disk={"test": ("list.txt",)},
        where="Baidu, linked from github.com/lawrence-cj/ARKitTrack",
        traps=("an absent row is [-1,-1,1,1] or nan", "depth is 256x192 and colour 1920x1440: depth is scaled up"),
    ),
    Row(
        "vot-rgbt2020",
        "VOT-RGBT2020",
        Layout({RGB: ("color",), THERMAL: ("ir", "infrared")}, ("groundtruth.txt",), vot=True),
        {"test": 60},
        20083,
        on_disk={"test": ("list.txt",)},
        where="vot-toolkit: vot initialize vot2020/rgbtir",
        traps=("60 sequences of RGBT234 with an annotation of VOT's own",),
    ),
    Row(
        "visevent",
        "VisEvent",
        Layout(
            {RGB: ("vis_imgs", "{name}_aps", "img"), EVENT: ("event_imgs", "{name}_dvs", "evimg")},
            ("groundtruth.txt", "groundtruth_rect.txt"),
            labels=(("absent_label.txt", 0),),
            starts_present=True,
        ),
        {"test": 320, "test-172": 172, "train": 500, "train-294": 294},
        on_disk={"test": ("testlist.txt",), "train": ("trainlist.txt",)},
        attributes=attributes.VISEVENT,
        where="Baidu, Dropbox or OneDrive, linked from github.com/wangxiao5791509/VisEvent_SOT_Benchmark",
        licence="MIT (repository)",
        traps=(
            "absent_label.txt: 1 = present; the toolkit's absent/: 1 = absent",
            "some sequences begin without the target: the toolkit's truth is cut there, and so are these",
            "frame numbers start anywhere; the 500 training names come with the download only (trainlist.txt)",
        ),
    ),
    Row(
        "fe108",
        "FE108",
        Layout(
            {
                RGB: ("img", "{name}_aps", "aps"),
                EVENT: ("event_imgs", "evimg", "accumulate_events", "stack", "inter1_stack_3008", "{name}_dvs", "dvs"),
            },
            ("groundtruth_rect.txt", "groundtruth.txt"),
            optional=frozenset({EVENT}),
        ),
        {"test": 32, "train": 76},
        on_disk={"train": ("train.txt", "trainlist.txt")},
        where="on request from the authors (zhangjiqing.com/dataset), Baidu",
        licence="MIT (code)",
        traps=(
            "the download has raw events only: render one image per frame into event_imgs/; event image i is aedat4 "
            "frame offset + i (start_frame_idx)",
        ),
    ),
    Row(
        "fe240hz",
        "FE240hz",
        Layout(
            {RGB: ("img", "{name}_aps", "aps"), EVENT: ("event_imgs", "evimg", "inter1_stack_3008", "stack", "dvs")},
            ("groundtruth_rect.txt", "groundtruth.txt"),
            optional=frozenset({EVENT}),
        ),
        {"test": 0, "train": 0},
        where="on request from the authors (zhangjiqing.com/dataset)",
        traps=("as FE108; the number of sequences is not checked here",),
    ),
    Row(
        "coesot",
        "COESOT",
        Layout(
            {RGB: ("{name}_aps", "aps", "img"), EVENT: ("{name}_dvs", "dvs", "evimg")},
            ("groundtruth.txt",),
            labels=(("absent.txt", 0),),
            window="start_end_index.txt",
        ),
        {"test": 527, "train": 827},
        176535,
        on_disk={"test": ("test.txt", "testlist.txt", "COESOT_test.txt"), "train": ("train.txt", "trainlist.txt")},
        attributes=attributes.VISEVENT,
        where="Baidu, linked from github.com/Event-AHU/COESOT",
        traps=(
            "absent.txt: 1 = present",
            "split files hold positions in list.txt, not names",
            "five test sequences have blank event images (dvSave-2022_08_18_16_47_33 and others)",
            "19 test sequences begin without the target: the clip keeps those frames and says where to start",
        ),
    ),
    Row(
        "eventvot",
        "EventVOT",
        Layout({EVENT: ("img",)}, ("groundtruth.txt",), labels=(("absent.txt", 0),)),
        {"test": 282, "train": 841, "val": 18},
        on_disk={"test": ("test.txt", "testlist.txt"), "train": ("train.txt",), "val": ("val.txt",)},
        attributes=attributes.EVENTVOT,
        where="Baidu or Dropbox, linked from github.com/Event-AHU/EventVOT_Benchmark",
        traps=("events only; 1280 x 720", "absent.txt: 1 = present"),
    ),
    Row(
        "otb",
        "OTB",
        Layout(
            {RGB: ("img",)},
            ("groundtruth_rect.txt", "groundtruth_rect.{target}.txt"),
            windows={
                "David": (300, 770),
                "Football1": (1, 74),
                "Freeman3": (1, 460),
                "Freeman4": (1, 283),
                "Tiger1": (6, 354),
            },
            targets="groundtruth_rect.{target}.txt",
        ),
        {"all": 0},
        where="the visual tracker benchmark's site (cvlab.hanyang.ac.kr)",
        traps=(
            "Jogging, Skating2 and Human4 have several targets in one folder: Jogging-1 and Jogging-2",
            "only parts of David, Football1, Freeman3, Freeman4 and Tiger1 are used",
        ),
    ),
    Row(
        "lasot",
        "LaSOT",
        Layout({RGB: ("img",)}, ("groundtruth.txt",), labels=(("full_occlusion.txt", 1), ("out_of_view.txt", 1))),
        {"test": 280, "train": 1120, "all": 1400},
        on_disk={"test": ("testing_set.txt",), "train": ("training_set.txt", "lasot_train_split.txt")},
        where="cis.temple.edu/lasot",
        licence="Apache-2.0 (toolkit)",
        traps=("some annotation differs in length from the toolkit's (paddle-1, monkey-17): score with the toolkit's",),
    ),
    Row(
        "got-10k",
        "GOT-10k",
        Layout({RGB: (".",)}, ("groundtruth.txt",), labels=(("absence.label", 1), ("cover.label", 0)), first_only=True),
        {"val": 180, "train": 9335, "test": 180},
        on_disk={"val": ("val/list.txt",), "train": ("train/list.txt",), "test": ("test/list.txt",)},
        where="got-10k.aitestunion.com",
        licence="MIT (toolkit)",
        traps=("the test set has first boxes only", "1,000 training sequences are forbidden in VOT"),
    ),
    Row(
        "trackingnet",
        "TrackingNet",
        Layout({RGB: (".",)}, ("../../anno/{name}.txt",), first_only=True),
        {"train": 30132, "test": 511},
        where="tracking-net.org",
        licence="YouTube terms",
        traps=("images stand in TRAIN_k/frames/<id>, boxes in TRAIN_k/anno/<id>.txt", "TEST has first boxes only"),
    ),
    Row(
        "coco",
        "COCO",
        Layout({RGB: ("train2017", "images/train2017", "val2017")}, ("annotations/instances_train2017.json",)),
        {"train2017": 0, "val2017": 0},
        where="cocodataset.org",
        licence="annotation CC BY 4.0, images Flickr terms",
        traps=("static pictures: every annotated object is a clip of one frame; crowds are dropped",),
        reader="coco",
    ),
)


def _row(name: str, found: object) -> Row:
    if not isinstance(found, Row) or found.name != name:
        raise expected(f"a modaltrack.benchmarks.Row of the name {name}", found)
    return found


TABLE: Table[Row] = Table("modaltrack.benchmarks", {row.name: row for row in ROWS}, _row)
