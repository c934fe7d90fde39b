# SPDX-License-Identifier: Apache-2.0
"""What a file is that should hold weights or a video and does not, by its first bytes, in words that say what to do."""

from __future__ import annotations

START = 512  # bytes that are looked at

_BEGINNINGS = (
    (b"version https://git-lfs", "it is a Git LFS pointer and not the file itself; fetch that with: git lfs pull"),
    (b"\x1f\x8b", "it is a gzip file; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it first"),
    (b"Rar!", "it is a RAR archive; unpack it first"),
    (b"\xfd7zXZ", "it is an xz file; unpack it first"),
    (b"BZh", "it is a bzip2 file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is a Zstandard file; unpack it first"),
    (b"\x89HDF", "it is an HDF5 file"),
    (b"\x93NUMPY", "it is a NumPy array"),
    (b"GGUF", "it is a GGUF file"),
    (b"PK\x03\x04", "it is a zip archive; unpack it first"),
    (b"#ROSBAG", "it is a ROS bag; export its images first"),
    (b"%PDF", "it is a PDF document"),
    (b"\x89PNG", "it is a picture"),
    (b"\xff\xd8\xff", "it is a picture"),
    (b"RIFF", "it is a RIFF file, a picture or a sound"),
    (b"\x7fELF", "it is a program"),
    (b"MZ", "it is a program"),
)
_HTML = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<script", b"<body")


def other_kind(start: bytes) -> str | None:
    """What a file with these first bytes is, where it is surely neither weights nor a video.

    Args:
        start: The first ``START`` bytes, fewer where the file is shorter.

    Returns:
        The second half of a sentence ("it is ..."), None where it may be what was asked for.
    """
    if not start:
        return "it is empty; download it again"
    if start[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    for beginning, what in _BEGINNINGS:
        if start.startswith(beginning):
            return what
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML):
        return "it is a web page (a download link that did not work); download the file itself"
    if text.startswith((b'{"', b"{'", b"[{")):
        return "it is JSON text, perhaps a server's error message; download the file itself"
    if not start.strip(b"\x00"):
        return "it begins with nothing but zeros; copy or download it again"
    if start[:1] != b"\x80" and start.isascii() and not start.translate(None, bytes(range(32, 127)) + b"\t\r\n"):
        return "it is plain text"
    return None


def not_weights(start: bytes) -> str | None:
    """``other_kind``, and that weights are expected; a zip archive may be weights."""
    what = None if start.startswith(b"PK") else other_kind(start)
    return what if what is None or ";" in what else f"{what}; weights of PyTorch are expected"


def not_a_video(start: bytes) -> str:
    """Why FFmpeg cannot open a file with these first bytes: another kind, a cut or damaged video, or no video."""
    if start[:4] in (b"RIFF", b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS") or start[4:8] in (b"ftyp", b"moov", b"mdat"):
        return "it begins as a video and is cut or damaged; copy it again"
    return other_kind(start) or "it is no video of a kind that FFmpeg knows, or damaged from its beginning on"
