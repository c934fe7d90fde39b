# SPDX-License-Identifier: Apache-2.0
"""Weights that are not installed: from a folder, an address and a hub, checked, whole or not at all."""

import hashlib
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modaltrack import cli
from modaltrack.models import catalogue, weights_store, zoo
from modaltrack.models.weights_store import Origin, cached, configured, ensure, fetch, local, shipped

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "src" / "modaltrack" / "models" / "weights"
ROW = shipped("tpf-tiny")  # the smallest


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a package without weights, no clone and an empty cache; returns the cache's folder."""
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "package")
    monkeypatch.setattr(weights_store, "_clone", lambda: None)
    monkeypatch.delenv(weights_store.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return tmp_path / "cache" / "modaltrack" / "weights"


class Hub(BaseHTTPRequestHandler):
    """A folder behind plain addresses (/files/NAME) and behind those of a hub (/OWNER/REPO/resolve/REVISION/NAME)."""

    spoiled = b""  # in front of every file
    endless = False

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        file = TREE / self.path.rpartition("/")[2]
        if not file.is_file() or not self.path.startswith(("/files/", "/someone/weights/resolve/")):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        data = self.spoiled + file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        if not self.endless:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            try:
                self.wfile.write(data)
                while self.endless:
                    self.wfile.write(b"0" * 2**16)
            except OSError:
                pass  # the reader had enough

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Hub, "spoiled", b"")
    monkeypatch.setattr(Hub, "endless", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file()]


def test_the_catalogue_says_what_code_and_files_say() -> None:
    spec = importlib.util.spec_from_file_location("write_catalogue", ROOT / "tools" / "write_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert catalogue.FILE.read_text(encoding="utf-8") == tool.content(), "run: python tools/write_catalogue.py"


def test_listing_models_imports_nothing_heavy() -> None:
    code = (
        "import sys; from modaltrack.cli import main; done = main(sys.argv[1:]); "
        "print(done, *({'torch', 'numpy', 'tyro', 'huggingface_hub', 'cv2'} & set(sys.modules)))"
    )
    for words in (["models"], ["models", "results"], ["models", "show", "tpf-tiny"], ["--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "0", words


@pytest.mark.parametrize("how", ["folder", "file", "address", "hub", "hf", "revision"])
def test_weights_come_from_a_place_that_is_named(how: str, bare: Path, hub: str, capsys: pytest.CaptureFixture) -> None:
    source = {"folder": str(TREE), "file": TREE.as_uri(), "address": f"{hub}/files/"}
    source |= {"hub": "someone/weights", "hf": "hf://someone/weights", "revision": "someone/weights@v1"}
    assert local(ROW) is None
    assert cli.main(["models", "get", "tpf-tiny", "--from", source[how], "--mirror", hub]) == 0, capsys.readouterr().err
    assert cached(ROW).read_bytes() == (TREE / ROW.file).read_bytes()
    assert local(ROW) == cached(ROW) == ensure(ROW)
    base = catalogue.listed_weights()[ROW.name].base
    assert sorted(left(bare)) == sorted([ROW.file, *([f"{base}.safetensors"] if base else [])])


def test_a_model_that_leans_on_another_brings_it(bare: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["models", "get", "modaltrack-laptop", "--from", str(TREE)]) == 0
    assert sorted(left(bare)) == ["modaltrack-laptop.safetensors", "ostrack-laptop.safetensors"]
    from modaltrack.models import load_model

    assert load_model("modaltrack-laptop", "cpu").card["name"] == "modaltrack-laptop"


def test_the_environment_names_a_folder_that_is_used_in_place(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights_store.VARIABLE, str(TREE))
    assert ensure(ROW) == TREE / ROW.file
    assert not bare.exists()


def test_the_environment_names_an_address(bare: Path, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights_store.VARIABLE, f"{hub}/files")
    assert ensure(ROW) == cached(ROW)


def test_a_clone_that_was_installed_from_is_found(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted:
        def read_text(self, name: str) -> str:
            return f'{{"url": "{ROOT.as_uri()}", "dir_info": {{}}}}' if name == "direct_url.json" else ""

    monkeypatch.undo()
    monkeypatch.setattr(zoo, "FOLDER", bare)
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Noted())
    monkeypatch.setattr(weights_store, "FOLDER", TREE)
    monkeypatch.delenv(weights_store.VARIABLE, raising=False)
    assert local(ROW) == TREE / ROW.file


@pytest.mark.parametrize("source", ["address", "hub", "folder"])
def test_another_file_is_refused_and_nothing_is_kept(
    source: str, bare: Path, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray((TREE / ROW.file).read_bytes())
    data[-1] ^= 1
    (tmp_path / ROW.file).write_bytes(data)
    monkeypatch.setattr(Hub, "spoiled", b"x")
    place = {"address": f"{hub}/files", "hub": "someone/weights", "folder": str(tmp_path)}[source]
    with pytest.raises(ValueError, match="nothing was kept") as caught:
        fetch(ROW, Origin.of(place, hub))
    assert "\n" not in str(caught.value)
    assert left(bare) == []


def test_a_server_that_never_ends_is_left(bare: Path, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "endless", True)
    with pytest.raises(ValueError, match="is longer"):
        fetch(ROW, Origin.of(f"{hub}/files"))
    assert left(bare) == []


def test_a_file_that_was_cut_in_the_cache_is_fetched_again(bare: Path) -> None:
    cached(ROW).parent.mkdir(parents=True)
    cached(ROW).write_bytes(b"cut")
    assert local(ROW) is None
    assert fetch(ROW, Origin.of(str(TREE))).stat().st_size == (TREE / ROW.file).stat().st_size


def test_without_network_one_sentence_says_what_to_do(
    bare: Path, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", _no_network)
    words = ["track", "--model", "tpf-tiny", "--rgb", str(tmp_path), "--box", "1,1,5,5", "--out", str(tmp_path / "o")]
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="not published yet") as caught:
        ensure(ROW)
    for part in ("tpf-tiny (0.2 MiB)", "modaltrack models get tpf-tiny --from", weights_store.VARIABLE, "no route"):
        assert part in str(caught.value)
    assert cli.main(words) == 1
    assert capsys.readouterr().err.count("\n") <= 2
    with pytest.raises(ValueError, match="404"):
        fetch(ROW, Origin.of(f"{hub}/nowhere"))
    assert left(bare) == []


def _no_network(*_: object, **__: object) -> None:
    raise OSError("no route to host")


@pytest.mark.parametrize("words", [["get"], ["get", "tpf-tiny", "--all"], ["get", "nothing"], ["list", "--all"]])
def test_what_cannot_be_meant_is_said(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["models", *words]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_places_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    monkeypatch.delenv(weights_store.VARIABLE, raising=False)
    assert Origin.of("a") == Origin("folder", "a")
    assert Origin.of("a/b@v1") == Origin("hub", "a/b", "v1")
    assert Origin.of("https://x.org/y/").place == "https://x.org/y"
    assert configured().place == weights_store.HUB
    for bad in ("ftp://x/y", "./no/where", "nothing", "a/b/c/d"):
        with pytest.raises(ValueError, match="is no place"):
            Origin.of(bad)
