# SPDX-License-Identifier: Apache-2.0
"""What can be taken away: boxes, result.json, the annotated video, labels."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import Response
from fastapi.responses import FileResponse
from numpy.typing import NDArray
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

import modaltrack
from modaltrack.app.player import Player
from modaltrack.app.targets import Target
from modaltrack.app.workspace import Workspace
from modaltrack.frame import Frame, Modality, Result, Row, Status
from modaltrack.labels import TargetLabels, VideoLabels, write_clip, write_coco, write_cvat, write_mot
from modaltrack.sinks import AnnotatedVideo, result_document, write_boxes, write_json

LABELS = ("clip", "coco", "mot", "cvat")


async def download(workspace: Workspace, what: str, lane: str, target: int) -> Response:
    """A file of what is known now.

    Args:
        what: boxes, json, video, one of ``LABELS``, ``alignment`` or ``recording``.
        lane: whose rows.
        target: number of the only one that is wanted; 0 for all.

    Raises:
        ValueError: there is nothing to take, or no such thing.
    """
    if what == "alignment":
        found = await asyncio.wrap_future(workspace.ask(lambda: workspace.alignment.document(workspace.there().clip)))
        return _attachment(json.dumps(found, indent=1).encode() + b"\n", "application/json", "align.json")
    if what == "recording":
        folder = workspace.recorder.last
        if folder is None or not folder.is_dir():
            raise ValueError("There is no recording; record a live clip first.")
        return await run_in_threadpool(_zipped, folder.parent, f"{folder.name}.zip", folder)
    if what not in (*LABELS, "boxes", "json", "video"):
        raise ValueError(f"There is nothing called {what!r:.40} to download.")
    results, player = await asyncio.wrap_future(workspace.ask(lambda: results_of(workspace, lane, target)))
    stem = re.sub(r"[^\w.-]", "_", player.clip.name, flags=re.ASCII).strip(".")[:60] or "clip"
    if what in LABELS:
        return await run_in_threadpool(labels, results, player, what, stem)
    if what == "boxes":
        return _boxes(results, stem)
    if what == "json":
        return _json(results, player, lane, stem)
    return await run_in_threadpool(_video, results, player, lane, stem)


def results_of(workspace: Workspace, lane: str, number: int) -> tuple[list[Result], Player]:
    """The records of the targets from frame 0 to the last one that is known, and the player that they come from."""
    player = workspace.player
    if player is None:
        raise ValueError("There is no clip; open one first.")
    if lane not in player.lanes:
        raise ValueError(f"There is no lane {lane!r:.20}.")
    targets = [t for t in player.targets.values() if t.keys and number in (0, t.number)]
    if not targets:
        raise ValueError("There are no boxes yet; drag one around a target.")
    last = max(max((*t.keys, *t.rows.get(lane, {}))) for t in targets)
    return [_result(t, lane, last + 1, player) for t in targets], player


def _result(target: Target, lane: str, count: int, player: Player) -> Result:
    boxes, scores = np.full((count, 4), np.nan), np.full(count, np.nan)
    status = np.full(count, int(Status.LOST), np.int64)
    for index in range(count):
        mark = target.mark(lane, index)
        if mark is None:
            continue
        boxes[index] = np.nan if mark.box is None else mark.box
        scores[index] = mark.score
        status[index] = int(Status.LOST if mark.status is None else mark.status)
    first = min(target.keys)
    info = {"target": target.name, "model": player.lanes[lane].model}
    return Result(player.clip.name, boxes, scores, status=status, times=np.arange(count) / player.clip.footage.fps,
                  first=first, info=info)  # fmt: skip


def _boxes(results: Sequence[Result], stem: str) -> Response:
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, result in enumerate(results, start=1):
            files.append(Path(folder) / (f"{stem}.txt" if len(results) == 1 else f"{stem}-{number}.txt"))
            write_boxes(files[-1], result.boxes)
        if len(files) == 1:
            return _attachment(files[0].read_bytes(), "text/plain; charset=utf-8", files[0].name)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
    return _attachment(packed.getvalue(), "application/zip", f"{stem}-boxes.zip")


def _json(results: Sequence[Result], player: Player, lane: str, stem: str) -> Response:
    facts: dict[str, Any] = {
        "model": player.lanes[lane].model,
        "lane": player.lanes[lane].plain(),
        "clip": player.clip.name,
        "sources": dict(player.clip.sources),
        "targets": [t.plain() for t in player.targets.values() if t.keys],
        "versions": {"modaltrack": modaltrack.__version__},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        write_json(file, result_document(results, facts))
        return _attachment(file.read_bytes(), "application/json", f"{stem}.json")


def _video(results: Sequence[Result], player: Player, lane: str, stem: str) -> Response:
    """The annotated video, from the first box on."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "video.mp4"
    footage, first = player.clip.footage, min(r.first for r in results)
    modalities: tuple[Modality, ...] = tuple(footage.modalities)
    try:
        with AnnotatedVideo(path, modalities, footage.fps, player.clip.truth) as video:
            for index in range(first, len(results[0].boxes)):
                try:
                    frame = footage.frame(index)
                except ValueError:  # a live clip keeps its newest images
                    continue
                if frame is None:
                    break
                video.row(_row(index, frame, results))
        if not path.exists():
            raise ValueError("None of the tracked frames is kept any more; the video cannot be made.")
    except BaseException:
        folder.cleanup()
        raise
    name = f"{stem}.mp4"
    return FileResponse(path, media_type="video/mp4", filename=name, background=BackgroundTask(folder.cleanup))


def _row(index: int, frame: Frame, results: Sequence[Result]) -> Row:
    boxes = np.stack([r.boxes[index] for r in results])
    scores = np.array([r.scores[index] for r in results])
    status = np.array([r.status[index] for r in results])
    return Row("", index, frame, boxes, scores, status, 0.0, 0.0)


def labels(results: Sequence[Result], player: Player, what: str, stem: str) -> Response:
    """The targets as labels of the whole clip, in one of the formats of ``modaltrack.labels``.

    Raises:
        ValueError: for the pictures of a live clip, which are not all kept.
    """
    height, width = player.clip.size
    length = player.clip.footage.length or len(results[0].boxes)
    targets = [TargetLabels(_labelled(r, length), str(r.info["target"])) for r in results]
    clip = VideoLabels(stem, (width, height), targets, player.clip.footage.fps)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if what == "coco":
            text = write_coco(place / "coco.json", [clip]).read_bytes()
            return _attachment(text, "application/json", f"{stem}-coco.json")
        if what == "cvat":
            text = write_cvat(place / "cvat.xml", clip).read_bytes()
            return _attachment(text, "application/xml", f"{stem}-cvat.xml")
        if what == "mot":
            write_mot(place / stem, clip)
        elif player.clip.footage.live:
            raise ValueError("The pictures of a live clip are not all kept; record it and open the recording.")
        else:
            write_clip(place / stem, clip, _frames(player, length))
        return _zipped(place, f"{stem}-{what}.zip")


def _labelled(result: Result, length: int) -> NDArray[np.float64]:
    """The boxes of the whole clip; none where the tracker lost the target."""
    boxes = np.full((length, 4), np.nan)
    known = min(length, len(result.boxes))
    boxes[:known] = np.where((result.status == Status.LOST)[:known, None], np.nan, result.boxes[:known])
    return boxes


def _frames(player: Player, length: int) -> Iterator[Frame]:
    for index in range(length):
        frame = player.clip.footage.frame(index)
        if frame is None:
            raise ValueError(f"The clip ended at frame {index} of {length}; its files have changed.")
        yield frame


def _zipped(folder: Path, name: str, only: Path | None = None) -> Response:
    """All files below a folder, in an archive that is made on disk and deleted when it is sent.

    Args:
        only: a folder in it whose files alone are taken.
    """
    handle, made = tempfile.mkstemp(suffix=".zip")
    with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for part in sorted(f for f in (only or folder).rglob("*") if f.is_file()):
            packed = zipfile.ZIP_STORED if part.suffix in (".png", ".mkv") else zipfile.ZIP_DEFLATED
            archive.write(part, part.relative_to(folder), packed)
    gone = BackgroundTask(Path(made).unlink, missing_ok=True)
    return FileResponse(made, media_type="application/zip", filename=name, background=gone)


def _attachment(content: bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
