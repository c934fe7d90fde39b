# SPDX-License-Identifier: Apache-2.0
"""Inputs that once failed, through the real command line: what it says, its time and memory, and whether that is right.

``python benchmarks/fault_cases.py FOLDER [--only WORD] [--verbose]``. FOLDER has one folder a
case with its input (see its ``case.md``); it is copied, never written to. A row of ``CASES`` is the case, the shell
line, the exit code that is right and patterns its output must hold (``!`` before a pattern: must not hold).
``modaltrack`` and ``python`` are those of the interpreter that runs this file. Cases that need a full disk mount a
small tmpfs (root).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BOX = "--box 20,30,20,20 --out out --no-video"
TRACK = f"modaltrack track {BOX}"
TRAIN = "modaltrack train ostrack-tiny-scenes --steps 2 --batch 2 --workers 0 --validate-every 0 --no-export --out r"
EVAL = "modaltrack eval --model sdstrack-tiny --benchmark folder --data bench --sensors rgb --only seq0 --out o"
IMPORT = "modaltrack models import {} --method {} --out out.safetensors"
CHECKS = "modaltrack results check results --benchmark OTB --truth truth"
SCORES = "modaltrack score results --benchmark OTB --truth truth"
NO_TRACE = "!Traceback"
SENTENCE = r"(?m)^error: [^\n]+\Z"

PYTHON_SIZES = """python - <<'E'
import numpy as np, cv2, modaltrack
rng = np.random.default_rng(0)
frame = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3)).astype(np.uint8), (0, 0), 2)
t = modaltrack.Tracker(modaltrack.load_model("sdstrack-tiny")); t.init(frame, [200, 150, 40, 40]); t.update(frame)
half = t.update(cv2.resize(frame, (160, 120))).box
assert 10 < half[2] < 40 and half[0] + half[2] <= 160, half
print("half", half.round(1)); modaltrack.Tracker(t.model).init(frame, [0.6, 0.6, 0.1, 0.1])
E"""
PYTHON_TINY = """python - <<'E'
import numpy as np, cv2, modaltrack
rng = np.random.default_rng(0)
frame = cv2.GaussianBlur(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8), (0, 0), 2)
for shape in ((1, 1), (8, 8), (1, 300)):
    t = modaltrack.Tracker(modaltrack.load_model("ostrack-tiny")); t.init(frame, [50, 75, 20, 18])
    for _ in range(4): t.update(frame)
    t.update(np.zeros((*shape, 3), np.uint8))
    box = t.update(frame).box
    assert box[2] > 8 and box[3] > 8, (shape, box)
print("the size is kept")
E"""
PYTHON_BIG = """python - <<'E'
import numpy as np, modaltrack
t = modaltrack.Tracker(modaltrack.load_model("ostrack-tiny"))
frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
t.init(frame, [0, 0, 1279, 959])
for _ in range(3): box = t.update(frame).box
assert box[2] > 100, box
print("clipped", box)
E"""
PYTHON_DOUBLE = """python - <<'E'
import numpy as np, torch, modaltrack
frames = [np.random.default_rng(i).integers(0, 255, (99, 99, 3)).astype(np.uint8) for i in range(3)]
def boxes():
    t = modaltrack.Tracker(modaltrack.load_model("ostrack-tiny")); t.init(frames[0], [9, 9, 30, 30])
    return np.stack([t.update(f).box for f in frames])
single = boxes(); torch.set_default_dtype(torch.float64); assert np.array_equal(single, boxes()); print("same boxes")
E"""
TWICE = (
    "modaltrack track --rgb clip --box 30,30,20,24 --out o --max-frames 4; modaltrack track --rgb clip"
    " --box 30,30,20,24 --box 60,60,10,10 --out o --max-frames 4; modaltrack track --rgb clip --box 10,10,20,24 --out o"
    " --max-frames 3 --no-video; ls o"
)
FULL = "mkdir m && mount -t tmpfs -o size={} none m && ({}; echo code $?; find m -type f); umount m"
KILLED = (
    "(modaltrack track --rgb clip --box 30,30,20,24 --out o & p=$!; for i in $(seq 400); do ls -A o 2>/dev/null"
    " | grep -q partial && break; sleep .05; done; kill -{} $p; wait $p; echo killed $?)"
    "; modaltrack track --rgb clip --box 30,30,20,24 --out o --max-frames 3; ls -A o"
)

Row = tuple[str, str, int | None, tuple[str, ...]]
CASES: list[Row] = [
    ("allow_short_is_no_miss", "modaltrack score results --benchmark LasHeR --truth truth --sequences list.txt"
     " --allow-short", 0, (r"PR +0\.8[0-4]", "counted as misses")),
    ("api_size_change_mid_clip", PYTHON_SIZES, 0, ("half", "pixel")),
    ("blank_line_between_rows", SCORES, 0, (r"SR +0\.[78]",)),
    ("checkpoint_is_web_page", IMPORT.format("OSTrack_ep0300.pth.tar", "ostrack"), 1, ("web page",)),
    ("checkpoint_is_web_page", IMPORT.format("lfs.pth", "ostrack"), 1, ("git lfs pull",)),
    ("checkpoint_is_web_page", IMPORT.format("empty.pth", "ostrack"), 1, ("is empty",)),
    ("checkpoint_safetensors", "(D=$PWD; cd $CHECKOUT && PYTHONPATH=. python $D/make.py $D); " + IMPORT.format(
        "ostrack.safetensors", "ostrack --size tiny"), 0, ("Wrote",)),
    ("checkpoint_torch_compile", "(D=$PWD; cd $CHECKOUT && PYTHONPATH=. python $D/make.py $D); " + IMPORT.format(
        "compiled.pth", "ostrack --size tiny"), 0, ("_orig_mod",)),
    ("clock_end_counts_start_twice", f"{TRACK} --rgb rgb100.mkv --thermal th130.mkv; grep -c thermal out/result.json;"
     " python -c \"import json;r=json.load(open('out/result.json'));"
     "print('thermal in',sum('thermal' in f['present'] for f in r['frames']))\"",
     0, ("first frame", "thermal in 12")),
    ("corners_x1y1x2y2", SCORES, 1, ("x1y1x2y2",)),
    ("corners_x1y1x2y2", CHECKS, 1, ("x1y1x2y2",)),
    ("csv_with_header", SCORES, 0, (r"SR +0\.[78]",)),
    ("deep-json-elsewhere", "mkdir d; printf '%100000s' | tr ' ' '[' > d/manifest.json; modaltrack results check d",
     1, (SENTENCE,)),
    ("default-dtype-float64", PYTHON_DOUBLE, 0, ("same boxes",)),
    ("depth_tenth_millimetres", f"{TRACK} --depth tenth", 0, (r"0\.1",)),
    ("disk-full-leftovers", FULL.format("300k", TRAIN.replace("--out r", "--save-every 1 --out m/t")),
     0, (r"error: .*No space", r"code [1-9]", "!partial")),
    ("disk-full-leftovers", FULL.format("40k", "modaltrack scenes --out m/s"), 0,
     (r"error: .*No space", "code 1", "!partial")),
    ("disk-full-leftovers", "mkdir res; for i in $(seq 150); do yes 1,2,3,4 | head -1500 > res/s$i.txt; done; "
     + FULL.format("24k", "modaltrack results import res --out m/s"), 0, (r"error: .*No space", "code 1", "!partial")),
    ("eval-run-json-facts", f"{EVAL}; python make.py; {EVAL}", 1, ("run.json", "another --out")),
    ("events-absurd-numbers", "python make.py; modaltrack track --event long.npz --box 1,2,3,4 --out o", 1,
     (SENTENCE,)),
    ("events-absurd-numbers", "python make.py; modaltrack track --event far.npz --box 1,2,3,4 --out o", None,
     ("60000|6000",)),
    ("events-absurd-numbers", "python make.py; modaltrack track --event w.npz --box 1,2,3,4 --out o", 1, (SENTENCE,)),
    ("events-absurd-numbers", "python make.py; modaltrack track --event shape.npz --box 1,2,3,4 --out o", 1,
     (SENTENCE,)),
    ("events_columns_x_y_t_p", f"{TRACK} --event events.txt", None, ("x y t p|time",)),
    ("events_in_seconds", f"{TRACK} --event events.txt", 0, ("second",)),
    ("events_npy_called_video", f"{TRACK} --event events.npy", 0, ("tracking",)),
    ("events_one_wild_pixel", f"{TRACK} --event events.txt", 0, ("1 of", "--event-size")),
    ("events_prophesee_dat", f"{TRACK} --event clip_td.dat", 0, ("tracking",)),
    ("events_size_in_first_line", f"{TRACK} --event events.txt", 0, ("tracking",)),
    ("file_url_is_live", f"{TRACK} --rgb file://$PWD/plain.mp4 --truth truth.txt", 0, ("12 frames",)),
    ("live-single-opened-twice", "python send.py 30 & sleep 3; modaltrack track --rgb udp://127.0.0.1:18195"
     " --box 30,30,20,24 --out o --no-video --max-frames 30; r=$?; wait; exit $r", 0, ("30 frames",)),
    ("models-import-disk-full", FULL.format("24k", IMPORT.format("leg_ok.pth", "ostrack --allow-partial").replace(
        "out.s", "m/m.s")), 0, (r"error: .*m\.safetensors", "code 1", "!partial")),
    ("mot_rows_as_corners", SCORES, None, ("MOT",)),
    ("multipage_tiff", f"{TRACK} --thermal recording", 0, ("12 frames",)),
    ("multipage_tiff", f"{TRACK} --thermal recording/run1.tif", 0, ("12 frames",)),
    ("order_constant_last_number", f"{TRACK} --rgb frames --truth truth.txt", 0, (r"success 0\.[6-9]",)),
    ("order_seconds_dot_micros", f"{TRACK} --rgb rgb --depth depth --depth-scale 0.2 --truth truth.txt", 0,
     (r"success 0\.[6-9]",)),
    ("oversized-box-collapses", PYTHON_BIG, 1, ("ValueError: The box is 1279 x 959",)),
    ("password-on-stderr", "modaltrack track --rgb rtsp://user:secret@127.0.0.1:18099/cam --box 1,2,3,4 --out o", 1,
     (SENTENCE, "!secret")),
    ("path_not_utf8_loses_result", f"D=$(printf '\\312\\323\\306\\265'); cp -r plain \"$D\"; {TRACK} --rgb \"$D\";"
     " ls out", 0, ("result.json", "!error")),
    ("pgm_and_webp_folders", f"{TRACK} --thermal frames", 0, ("tracking",)),
    *[("pickle-exponential-tuples", IMPORT.format(f"{name}.pth", "sdstrack"), 1, (SENTENCE,)) for name in (
        "lol_value", "lol_key", "lol_set", "lol_stackglobal", "lol_persid_key", "lol_numpydtype", "leg_lolkeys")],
    ("pickle-memory-amplification", IMPORT.format("amp_list.pth", "sdstrack"), 1, (SENTENCE,)),
    ("pickle-zero-size-huge-shape", IMPORT.format("st_zero_huge_emptystorage.pth", "sdstrack"), 1, (SENTENCE,)),
    ("result-zip-bomb", "python -c \"import zipfile; z=zipfile.ZipFile('b.zip','w',8); [z.writestr(f't/{i}.txt',"
     "b'1,1,1,1\\n'*10**6) for i in range(400)]; z.close()\"; modaltrack results import b.zip --out o", 1, (SENTENCE,)),
    ("rotation_metadata", f"{TRACK} --rgb phone_portrait.mp4 --truth truth.txt", 0, (r"success 0\.[6-9]",)),
    ("rotation_metadata", f"{TRACK} --rgb phone_upside_down.mp4 --truth truth.txt", 0, (r"success 0\.[6-9]",)),
    ("stale-temporaries-after-kill", KILLED.format(9), 0, ("killed 137", "!partial", "result.json")),
    ("stale-temporaries-after-kill", KILLED.format(15), 0, ("killed 130", "!partial", "result.json")),
    ("terminal-escapes", "D=$(printf '\\033[2J\\033]0;pwn\\007x'); mkdir \"$D\"; modaltrack track --rgb \"$D\""
     " --box 1,1,5,5", 1, ("!\x1b", r"\\x1b")),
    ("thermal_dead_pixel", f"{TRACK} --thermal dead --truth truth.txt", 0, ("thermal-16bit-robust",)),
    ("thermal_dead_pixel", f"{TRACK} --thermal dead --truth truth.txt --encoding thermal=thermal-16bit-robust", 0,
     (r"success 0\.[6-9]",)),
    ("tiny-frame-kills-target", PYTHON_TINY, 0, ("size is kept",)),
    ("track-mixed-outputs", TWICE, 0, (r"!(?m)^boxes-1", "boxes.txt", r"!(?m)^video\.mp4$")),
    ("train-corrupt-checkpoint", f"{TRAIN}; python make.py; {TRAIN}", 2, ("checkpoint.safetensors", "--resume never")),
    *[("weights-card-not-checked", f"{TRACK} --rgb clip --model ./{name}.safetensors", 1, (SENTENCE,)) for name in (
        "card_list", "config_list", "depth_big", "search_size_big")],
    ("weights-sparse-file", f"truncate -s 30G big.safetensors; {TRACK} --rgb clip --model ./big.safetensors", 1,
     (SENTENCE,)),
    ("y16_avi_unknown_codec", f"{TRACK} --thermal lepton.avi", None, ("uint16|Y16", "!truncated")),
    ("zip-packs-leftovers", "python make.py; modaltrack results zip d --out d/a.zip; modaltrack results zip d --out"
     " d/b.zip; unzip -l d/b.zip || python -m zipfile -l d/b.zip", 0, ("seq0.txt", "!partial", r"!(?m)a\.zip +\d")),
    *[("zip-version-or-flag", IMPORT.format(f"{name}.pth", "sdstrack"), 1, (SENTENCE,)) for name in (
        "zip_flag_lang", "zip_version")],
    *[("zip-version-or-flag", f"modaltrack results check reszip-{n}.zip", 1, (r"error|problem",)) for n in (
        3, 16, 50, 69)],
]  # fmt: skip


def clip(folder: Path) -> None:
    """Twenty pictures with a moving square as ``clip``, and the same as a benchmark folder ``bench``."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8), (0, 0), 3)
    (folder / "clip").mkdir()
    for number in range(40):
        picture = ground.copy()
        picture[30:54, 30 + number : 50 + number] = (40, 60, 250)
        cv2.imwrite(str(folder / "clip" / f"{number:04d}.png"), picture)
    shutil.copytree(folder / "clip", folder / "bench" / "seq0" / "rgb")
    rows = "".join(f"{30 + number},30,20,24\n" for number in range(40))
    (folder / "bench" / "seq0" / "groundtruth.txt").write_text(rows)


def run(line: str, folder: Path, checkout: Path) -> tuple[int, str, float, float]:
    """Run a shell line; -> exit code, output, seconds, the largest process's GB."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "CHECKOUT": str(checkout), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            ["bash", "-c", line], cwd=folder, stdout=said, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        late = False
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > 240 and not late:
                os.killpg(child.pid, signal.SIGKILL)
                late = True
            time.sleep(0.02)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode("utf-8", "backslashreplace")
    return child.returncode, text.rstrip(), time.monotonic() - began, used.ru_maxrss / 2**20


def wrong(code: int, text: str, expected: int | None, patterns: tuple[str, ...]) -> str:
    """What is not as it should be, or nothing."""
    faults = [] if expected in (None, code) else [f"exit code {code}, not {expected}"]
    for pattern in (*patterns, *([] if "ValueError" in str(patterns) else [NO_TRACE])):
        bad = pattern.startswith("!")
        if bool(re.search(pattern.removeprefix("!"), text)) == bad:
            faults.append(f"{'holds' if bad else 'lacks'} {pattern.removeprefix('!')!r}")
    return "; ".join(faults)


def main() -> int:
    """Run the cases; 1 if one is not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    checkout = Path(__file__).resolve().parent.parent
    bad = 0
    for name, line, expected, patterns in CASES:
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "case"
            shutil.copytree(options.folder / name, folder)
            clip(folder)
            code, text, seconds, memory = run(line, folder, checkout)
        fault = wrong(code, text, expected, patterns)
        bad += bool(fault)
        last = text.splitlines()[-1] if text else ""
        print(f"{'WRONG' if fault else 'right'}  {name:32} {seconds:5.1f} s {memory:4.2f} GB  {fault or last[:110]}")
        if fault or options.verbose:
            print(f"    $ {line}\n    | " + text[-3000:].replace("\n", "\n    | "), flush=True)
    unknown = {p.name for p in options.folder.iterdir() if p.is_dir()} - {name for name, *_ in CASES}
    print(f"{bad} wrong; folders without a line here: {', '.join(sorted(unknown)) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
