# SPDX-License-Identifier: Apache-2.0
"""MOTChallenge's layout: ``gt/gt.txt``, ``gt/labels.txt`` and ``seqinfo.ini`` in a folder of the clip's name.

Source: Milan et al., MOT16, section 3; ``labels.txt`` as CVAT's "MOT 1.1" has it.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from modaltrack.files import replacing
from modaltrack.labels.video_labels import VideoLabels
from modaltrack.printable import one_line


def write_mot(folder: str | os.PathLike[str], clip: VideoLabels, first_pixel: int = 0) -> Path:
    """Write one clip as a sequence of MOTChallenge; -> the folder, which appears as one.

    Args:
        folder: the folder of the sequence; an earlier one of this name is replaced.
        clip: its labels.
        first_pixel: what the upper left corner of the image is called: 0 as in CVAT and TrackEval, 1 as the paper says.
            Frames and identities count from 1 in both.
    """
    names = clip.categories
    rows = [
        (frame + 1, number, *(repr(v) for v in (box[0] + first_pixel, box[1] + first_pixel, *box[2:])), 1, category, 1)
        for number, target in enumerate(clip.targets, start=1)
        for category in [names.index(target.category) + 1]
        for frame, box in target.rows()
    ]
    first = PurePosixPath(clip.file(0))
    facts = {
        "name": clip.name,
        "imDir": "img1",
        "frameRate": f"{clip.fps:g}",
        "seqLength": clip.length,
        "imWidth": clip.size[0],
        "imHeight": clip.size[1],
        "imExt": first.suffix or ".jpg",
    }
    place = Path(folder)
    with replacing(place, folder=True) as partial:
        (partial / "gt").mkdir()
        text = "".join(",".join(str(v) for v in row) + "\n" for row in sorted(rows, key=lambda row: row[:2]))
        (partial / "gt" / "gt.txt").write_text(text, encoding="utf-8", newline="\n")
        (partial / "gt" / "labels.txt").write_text(
            "".join(f"{one_line(name)}\n" for name in names), encoding="utf-8", newline="\n"
        )
        lines = ["[Sequence]", *(f"{key}={one_line(str(value))}" for key, value in facts.items())]
        (partial / "seqinfo.ini").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return place
