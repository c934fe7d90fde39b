# SPDX-License-Identifier: Apache-2.0
"""``modaltrack score RESULTS --benchmark NAME`` and ``modaltrack results`` on a miniature LasHeR and COESOT."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modaltrack import cli
from modaltrack.frame import Result
from modaltrack.results import write_results

ROWS = 12


class Site:
    """Truth of a few real LasHeR names as the official toolkit's files, a tracker's results, and a place to write."""

    def __init__(self, folder: Path) -> None:
        from modaltrack.benchmarks import info, official_list

        self.folder, self.truth, self.results = folder, folder / "truth", folder / "mine"
        self.names = (official_list(info("LasHeR"), "test") or [])[:4]
        assert len(self.names) == 4
        rng = np.random.default_rng(0)
        self.boxes = {n: rng.integers(20, 90, (ROWS, 4)).astype(float) for n in self.names}
        write_results(self.truth, {n: Result(n, b) for n, b in self.boxes.items()})
        (self.truth / "manifest.json").unlink()
        noisy = {n: Result(n, b + rng.normal(0, 6, b.shape) * [1, 1, 0, 0]) for n, b in self.boxes.items()}
        write_results(self.results, noisy, tracker="mine")

    def words(
        self, *more: str, results: Path | None = None, benchmark: str = "LasHeR", truth: Path | None = None
    ) -> list[str]:
        return [
            "score",
            str(results or self.results),
            "--benchmark",
            benchmark,
            "--truth",
            str(truth or self.truth),
            *more,
        ]

    def file(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("MODALTRACK_DATA", "MODALTRACK_LASHER", "MODALTRACK_VTUAV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return Site(tmp_path)


def read_json(site: Site, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0, **other: object) -> dict:
    assert cli.main(site.words("--json", *more, **other)) == code  # type: ignore[arg-type]
    return json.loads(capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_json_object(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_json(site, capsys)
    assert found["benchmark"] == "LasHeR"
    assert found["protocol"] == "LasHeR"
    assert found["protocol_version"] == "protocol II, 1.0"
    assert found["num_sequences"] == 4
    assert set(found["scores"]) == {"PR", "NPR", "SR", "PR_curve_mean", "NPR_curve_mean"}
    assert all(0 < v < 1 or m == "PR" for m, v in found["scores"].items())
    assert found["repairs"] == {}
    assert found["switches"]["zero_curves"] == "dropped"
    assert set(found["intervals_95"]) == {"PR", "NPR", "SR", "PR_curve_mean", "NPR_curve_mean"}
    assert any("not the benchmark's number" in n for n in found["notes"])
    assert "per_sequence" not in found
    each = read_json(site, capsys, "--per-sequence")["per_sequence"]
    assert set(each) == set(site.names)
    assert np.mean([v["SR"] for v in each.values()]) == pytest.approx(found["scores"]["SR"])


def test_the_table_names_protocol_switches_and_repairs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    name = site.names[0]
    (site.results / f"{name}.txt").write_text("1,2,3,4\n" + "nan,nan,nan,nan\n" * (ROWS - 1))
    assert cli.main(site.words()) == 0
    printed = capsys.readouterr().out
    assert "zero curves" not in printed
    assert "sequences; --switches prints its rules" in printed
    assert cli.main(site.words("--per-sequence", "--attributes", "--switches")) == 0
    printed = capsys.readouterr().out
    for words in ("protocol II, 1.0", "zero curves dropped", "repair: 11 frames with the previous box copied", name):
        assert words in printed
    assert cli.main(["score", "x", "--benchmark", "list"]) == 0
    assert "EventVOT" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_trackers_are_compared(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    perfect = site.folder / "perfect"
    write_results(perfect, {n: Result(n, b) for n, b in site.boxes.items()})
    found = read_json(site, capsys, "--against", str(perfect))["against"]
    assert {c["metric"] for c in found} == {"PR", "NPR", "SR", "PR_curve_mean", "NPR_curve_mean"}
    assert next(c for c in found if c["metric"] == "SR")["losses"] == 4
    assert cli.main(site.words("--against", str(perfect))) == 0
    assert "against" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_holes_are_refused_unless_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    full = read_json(site, capsys)["scores"]["SR"]
    (site.results / f"{site.names[0]}.txt").unlink()
    assert cli.main(site.words()) == 1
    assert f"no result: {site.names[0]}" in capsys.readouterr().err
    assert read_json(site, capsys, "--missing", "skip")["num_sequences"] == 3
    assert read_json(site, capsys, "--missing", "zero")["scores"]["SR"] < full
    keep = site.file("list.txt", "\n".join(site.names[1:]))
    assert read_json(site, capsys, "--sequences", str(keep))["num_sequences"] == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_switches_change_the_number_and_the_version(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_json(site, capsys, "--switch", "rounding=all", "--switch", "precision_at=3")
    assert "changed: rounding = all, precision_at = 3.0" in found["protocol_version"]
    assert found["repairs"]["frames with rounded boxes"] > 0
    assert found["scores"]["PR"] < read_json(site, capsys)["scores"]["PR"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_boc_weights_are_found_beside_the_truth(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert "BOC" not in read_json(site, capsys, benchmark="COESOT")["scores"]
    site.file("boc_reward_4.json", json.dumps(dict.fromkeys(site.names, 0.5)))
    found = read_json(site, capsys, benchmark="COESOT")["scores"]
    assert found["BOC"] == pytest.approx(found["SR"] / 2)
    assert {"PR", "PR_curve_mean", "NPR", "NPR_curve_mean"} <= set(found)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_protocol_of_another_family(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(read_json(site, capsys, benchmark="FE240hz")["scores"]) == {"RSR", "RPR", "OP0.50", "OP0.75"}


def test_results_check_import_zip(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["results", "check", str(site.results)]) == 0
    assert "No problems" in capsys.readouterr().out
    out, packed = site.folder / "out", site.folder / "out.zip"
    assert cli.main(["results", "import", str(site.results), "--out", str(out), "--layout", "corners"]) == 0
    assert cli.main(["results", "zip", str(out), "--out", str(packed)]) == 0
    capsys.readouterr()
    assert cli.main(["results", "check", str(packed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_sequences"] == 4
    name = site.names[0]
    (out / f"{name}.txt").write_text("1,2,3,4\n")
    words = ["results", "check", str(out), "--benchmark", "LasHeR", "--truth", str(site.truth)]
    assert cli.main(words) == 1
    printed = capsys.readouterr().out
    assert f"{name}.txt is not the file" in printed
    assert f"{name} has 1 rows, 11 fewer than the truth" in printed


BAD: list[tuple[str, Callable[[Site], list[str]], str]] = [
    ("no such protocol", lambda s: s.words(benchmark="LasHar"), "did you mean LasHeR"),
    ("half a protocol", lambda s: s.words(benchmark="VTUAV"), "VTUAV-ST or VTUAV-LT"),
    ("no results", lambda s: s.words(results=s.folder / "nope"), "There are no results"),
    ("no truth folder", lambda s: s.words(truth=s.folder / "nope"), "does not exist"),
    ("a truth file", lambda s: s.words(truth=s.file("t.txt", "1,2,3,4")), "is a file and a folder was expected"),
    ("an empty truth folder", lambda s: s.words(truth=empty(s)), "no truth"),
    ("truth twice", lambda s: s.words("--data", str(s.truth)), "give one of them"),
    ("two paths and a benchmark",
     lambda s: ["score", str(s.results), str(s.truth), "--benchmark", "LasHeR"], "--truth"),
    ("results of another benchmark", lambda s: s.words(results=zebra(s)), "right benchmark"),
    ("a short file", lambda s: s.words(results=short(s)), "11 rows, 1 fewer"),
    ("a broken second tracker", lambda s: s.words("--against", str(s.file("b.zip", "x"))), "is called a zip"),
    ("a switch that is none", lambda s: s.words("--switch", "colour=red"), "changes no switch"),
    ("a value that is none", lambda s: s.words("--switch", "length=long"), "it is one of"),
    ("rewards without BOC", lambda s: s.words("--boc-reward", str(s.file("r.json", "{}"))), "belongs to COESOT"),
    ("rewards that are none",
     lambda s: s.words("--boc-reward", str(s.file("r.json", "[1")), benchmark="COESOT"), "no weights"),
    ("a list of strangers", lambda s: s.words("--sequences", str(s.file("l.txt", "zebra"))), "names zebra"),
    ("an empty list", lambda s: s.words("--sequences", str(s.file("l.txt", "\n"))), "is empty"),
    ("a list that is not there", lambda s: s.words("--sequences", str(s.folder / "l.txt")), "cannot be read"),
    ("no known place", lambda s: ["score", str(s.results), "--benchmark", "VTUAV-ST"], "VTUAV"),
    ("options of a benchmark alone", lambda s: ["score", "a.txt", "b.txt", "--json"], "add --benchmark NAME"),
    ("nowhere to write", lambda s: ["results", "import", str(s.results)], "needs a place to write"),
    ("import onto itself", lambda s: ["results", "import", str(s.results), "--out", str(s.results)], "another folder"),
    ("import into a file", lambda s: ["results", "import", str(s.results), "--out", str(s.file("f", ""))], "is a file"),
    ("zip of nothing",
     lambda s: ["results", "zip", str(s.folder / "no"), "--out", str(s.folder / "a.zip")], "no folder"),
    ("zip of changed files",
     lambda s: ["results", "zip", str(changed(s)), "--out", str(s.folder / "a.zip")], "checksum"),
    ("check's options with zip", lambda s: ["results", "zip", "x", "--benchmark", "GTOT"], "belong to"),
]  # fmt: skip


def empty(site: Site) -> Path:
    (site.folder / "empty").mkdir()
    return site.folder / "empty"


def zebra(site: Site) -> Path:
    return write_results(site.folder / "o", {"zebra": Result("zebra", site.boxes[site.names[0]])}).parent


def short(site: Site) -> Path:
    file = site.results / f"{site.names[1]}.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    return site.results


def changed(site: Site) -> Path:
    (site.results / f"{site.names[1]}.txt").write_text("1,2,3,4\n")
    return site.results


@pytest.mark.parametrize(("make", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_one_sentence(
    site: Site, capsys: pytest.CaptureFixture[str], make: Callable[[Site], list[str]], words: str
) -> None:
    assert cli.main(make(site)) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0], errors[0]
    assert len(errors[0]) < 600
    assert "Traceback" not in printed.err
    assert not (site.folder / "a.zip").exists()


def test_scoring_needs_no_torch_and_its_help_imports_little() -> None:
    code = (
        "import sys; from modaltrack import cli; import modaltrack.scoring.engine, modaltrack.results.reading; "
        "import modaltrack.truth.source; code = cli.main(['score', '--help']); "
        "sys.exit(code or 'torch' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    quick = "import sys; from modaltrack import cli; cli.main(['score', '--help']); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", quick], capture_output=True, check=False).returncode == 0
    count = "import sys; from modaltrack import cli; cli.main(['score', '--help']); "
    count += "print(len(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, check=True)
    assert int(done.stderr) < 500  # 294 with Python 3.11; torch and numpy would be 500 more
