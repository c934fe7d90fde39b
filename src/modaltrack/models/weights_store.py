# SPDX-License-Identifier: Apache-2.0
"""Finds the shipped weights on this machine, or fetches them: from a hub, an address or a folder, checked and whole.

A wheel holds the default model; a clone and a source archive hold all. A file is looked for in the package, in the
clone that the package was installed from, in the folder that MODALTRACK_WEIGHTS names, and in the user's cache; after
that it is fetched into the cache. What comes is checked against the length and the SHA-256 that the package lists, so
it does not matter who serves it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

from modaltrack.files import cache_folder, parse_json, prepare_folder, replacing
from modaltrack.models.catalogue import listed_weights
from modaltrack.models.zoo import FOLDER, SHIPPED, Shipped

HUB = "modaltrack/weights"
"""The hub repository that is asked by default. It is not published yet: until then name a source of your own."""
VARIABLE = "MODALTRACK_WEIGHTS"
"""Environment variable: a folder, an address or a hub repository to take weights from."""
_REPOSITORY = re.compile(r"(?:hf://)?(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_BLOCK, _TIMEOUT = 2**20, 30.0  # bytes; seconds without an answer


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from: a folder, an http(s) address of one, or a repository of the Hugging Face hub.

    Attributes:
        kind: "folder", "address" or "hub".
        place: the folder, the address without a slash at its end, or OWNER/REPOSITORY.
        revision: of a hub repository; "" for its newest.
        mirror: address of the hub; "" for the one of HF_ENDPOINT, or the public one.
    """

    kind: str
    place: str
    revision: str = ""
    mirror: str = ""

    @staticmethod
    def of(text: str, mirror: str = "") -> Origin:
        """What a person wrote: a folder, file://FOLDER, http(s)://ADDRESS, OWNER/REPOSITORY[@REVISION] or hf://...

        Raises:
            ValueError: for anything else.
        """
        if text.startswith("file://"):
            from urllib.request import url2pathname

            return Origin("folder", url2pathname(urlsplit(text).path))
        if text.startswith(("http://", "https://")):
            return Origin("address", text.rstrip("/"))
        folder = Path(text).expanduser()
        if folder.is_dir():
            return Origin("folder", str(folder))
        if (found := _REPOSITORY.fullmatch(text)) and not text.startswith("."):
            return Origin("hub", found["name"], found["revision"] or "", mirror)
        raise ValueError(
            f"{text!r} is no place to take weights from; give a folder that exists, an address (https://...), or a "
            "repository of the Hugging Face hub (OWNER/REPOSITORY)."
        )

    def __str__(self) -> str:
        where = {"folder": "the folder ", "hub": "the hub repository "}.get(self.kind, "")
        return where + self.place + (f" at {self.mirror}" if self.mirror else "")


def shipped(name: str) -> Shipped:
    """The row of a shipped file.

    Raises:
        ValueError: if there is none of that name.
    """
    for row in SHIPPED:
        if row.name == name:
            return row
    raise ValueError(f"No weights come with this version under the name {name}; there are {[r.name for r in SHIPPED]}.")


def cached(row: Shipped) -> Path:
    """Where the file lies, or would lie, in the user's cache; another version's file of that name lies beside it."""
    return cache_folder() / "weights" / row.sha256[:12] / row.file


def local(row: Shipped) -> Path | None:
    """The file on this machine, None where it would have to be fetched."""
    if row.path.is_file():
        return row.path
    places = [folder / row.file for folder in (_clone(), _named_folder()) if folder is not None]
    size = _size(row)
    return next((p for p in (*places, cached(row)) if p.is_file() and p.stat().st_size == size), None)


def ensure(row: Shipped) -> Path:
    """The file on this machine; fetched from ``configured()`` where it is missing.

    Raises:
        ValueError: in one sentence, where it cannot be had.
    """
    return local(row) or fetch(row, configured())


def configured(text: str = "", mirror: str = "") -> Origin:
    """Where to fetch from: ``text``, else the environment variable MODALTRACK_WEIGHTS, else the default hub."""
    return Origin.of(text or os.environ.get(VARIABLE, "") or HUB, mirror)


def fetch(row: Shipped, origin: Origin) -> Path:
    """Copy or download one file into the cache; it appears whole and checked, or not at all.

    Raises:
        ValueError: in one sentence: no network, no such file, not the file that was shipped.
    """
    target = cached(row)
    prepare_folder(target.parent)
    try:
        with _stream(row, origin) as stream, replacing(target, durable=True) as partial:
            _copy_checked(stream, partial, row, origin)
    except _NotShipped as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        raise ValueError(_advice(row, origin, error)) from error
    return target


class _NotShipped(Exception):
    """What came is not the file that was shipped."""


def _copy_checked(stream: IO[bytes], target: Path, row: Shipped, origin: Origin) -> None:
    digest, size, left = hashlib.sha256(), _size(row), _size(row)
    with target.open("wb") as file:
        while block := stream.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            file.write(block)
    if left or digest.hexdigest() != row.sha256:
        what = "is longer" if left < 0 else f"has {size - left:,} bytes instead of {size:,}" if left else "differs"
        raise _NotShipped(
            f"What {origin} has as {row.file} is not the file that this version ships (it {what}); nothing was kept. "
            "Take it from another place: modaltrack models get NAME --from FOLDER|ADDRESS|OWNER/REPOSITORY."
        )


@contextmanager
def _stream(row: Shipped, origin: Origin) -> Iterator[IO[bytes]]:
    if origin.kind == "folder":
        with (Path(origin.place) / row.file).open("rb") as file:
            yield file
    elif origin.kind == "address":
        from urllib.request import Request, urlopen

        request = Request(f"{origin.place}/{quote(row.file)}", headers={"User-Agent": "modaltrack"})
        with urlopen(request, timeout=_TIMEOUT) as answer:  # the scheme is http or https, see Origin.of
            yield answer
    else:
        with tempfile.TemporaryDirectory() as folder, _from_hub(row, origin, folder).open("rb") as file:
            yield file


def _from_hub(row: Shipped, origin: Origin, folder: str) -> Path:
    """The file as the hub's own client downloads it: with its proxies, tokens, HF_ENDPOINT and HF_HUB_OFFLINE."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    revision, endpoint = origin.revision or None, origin.mirror.rstrip("/") or None
    found = get_hf_file_metadata(hf_hub_url(origin.place, row.file, revision=revision, endpoint=endpoint)).size
    if found is not None and found != _size(row):
        raise _NotShipped(f"{origin} has {row.file} with {found:,} bytes instead of {_size(row):,}; nothing was kept.")
    return Path(hf_hub_download(origin.place, row.file, revision=revision, endpoint=endpoint, local_dir=folder))


def _advice(row: Shipped, origin: Origin, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:160].rstrip(". ") if str(error).strip() else type(error).__name__
    unpublished = " (the default, which is not published yet)" if origin.place == HUB else ""
    return (
        f"The weights {row.name} ({_size(row) / 2**20:.1f} MiB) are not on this machine, and {origin}{unpublished} did "
        f"not give them ({type(error).__name__}: {reason}): run 'modaltrack models get {row.name} --from "
        f"FOLDER|ADDRESS|OWNER/REPOSITORY' where there is a network, or set {VARIABLE}; a clone of modaltrack has them "
        "in src/modaltrack/models/weights."
    )


def _size(row: Shipped) -> int:
    return listed_weights()[row.name].bytes


def _named_folder() -> Path | None:
    text = os.environ.get(VARIABLE, "")
    origin = Origin.of(text) if text else None
    return Path(origin.place) if origin is not None and origin.kind == "folder" else None


def _clone() -> Path | None:
    """The weights' folder of the clone that pip installed this package from, as pip notes it (PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        noted = parse_json(distribution("modaltrack").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    address = str(noted.get("url", "")) if isinstance(noted, dict) else ""
    if not address.startswith("file://"):
        return None
    return Path(url2pathname(urlsplit(address).path)) / "src" / "modaltrack" / "models" / FOLDER.name
