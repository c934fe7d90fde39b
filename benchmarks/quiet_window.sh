#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All timing figures of docs/speed.md, on a quiet machine: at most eight minutes.
#
#     bash benchmarks/quiet_window.sh OUT [PYTHON]
#
# Writes OUT/*.json and OUT/*.log and prints what docs/speed.md shows. Each command has a limit of its own; one that
# runs into it is said and the rest goes on. NANOTRACK=nanotrack.safetensors (imported weights) adds it.
# A second script, accuracy rather than time, is benchmarks/precision_loss.py; a third benchmarks/export_parity.py.
set -u
out=${1:?give a folder for the numbers}
python=${2:-python}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
began=$SECONDS
nano=()
[ -n "${NANOTRACK:-}" ] && nano=(--nanotrack "$NANOTRACK")

run() { # seconds, name, command ...
    local limit=$1 name=$2
    shift 2
    local left=$((465 - (SECONDS - began)))
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -lt 5 ]; then
        echo "$name: left out, the time is up"
        return
    fi
    timeout "$limit" "$@" >"$out/$name.log" 2>&1 || echo "$name: ended early ($?), see $out/$name.log"
    echo "$name: $((SECONDS - began)) s so far"
}

laptop() { # threads, seconds of a run
    export OMP_NUM_THREADS=$1
    local form runtime precision more
    # graphs are exported at the first call (and kept), outside the measured frames; int8 is calibrated then
    for form in "torch fp32" "onnx fp32" "openvino fp32" "openvino bf16" "openvino int8"; do
        read -r runtime precision <<<"$form"
        more=()
        [ "$1 $form" = "2 openvino bf16" ] && more=(--against opencv "${nano[@]}")
        [ "$runtime" = torch ] && more=(--targets 64)
        run "$2" "laptop-$1-$runtime-$precision" "$python" -m modaltrack bench --model modaltrack-laptop \
            --runtime "$runtime" --precision "$precision" --threads "$1" --size 1280x720 --frames 30 --rounds 3 \
            --no-base --json "$out/laptop-$1-$runtime-$precision.json" "${more[@]}"
    done
}

laptop 2 80
OMP_NUM_THREADS=2 run 90 base-2 "$python" "$here/base_speed.py" --threads 2 --rounds 3 --limit 40 \
    --models ostrack-base sdstrack-base smstracker-base
for name in smstracker-laptop tpf-laptop ostrack-laptop; do # the scan in a loop of the runtime; one sensor
    for runtime in torch openvino; do
        OMP_NUM_THREADS=2 run 60 "$name-2-$runtime" "$python" -m modaltrack bench --model "$name" --runtime "$runtime" \
            --threads 2 --frames 12 --rounds 2 --no-base --json "$out/$name-2-$runtime.json"
    done
done
laptop 1 50

"$python" - "$out" <<'PY'
import json, sys
from pathlib import Path

print(f"\n{'run':34} {'model ms':>9} {'step ms':>9} {'end to end f/s':>15}  load")
for file in sorted(Path(sys.argv[1]).glob("*.json")):
    found = json.loads(file.read_text())
    by = {}
    for row in found["rows"]:
        by.setdefault(row["tracker"], {})[row["part"]] = row
    for tracker, parts in by.items():
        if "end to end" in parts:
            model = f"{parts['model']['ms']:9.2f}" if "model" in parts else " " * 9
            name = file.stem if "model" in parts else f"  {tracker}"
            print(
                f"{name:34} {model} {parts['crop + model + box']['ms']:9.2f} {parts['end to end']['fps']:15.1f}  "
                f"{found['conditions']['other load']}"
            )
        many = next((p for p in parts if p.endswith("targets, each")), None)
        if many:
            one = parts["step, one target"]["ms"]
            print(f"{'  ' + many:34} {parts[many]['ms'] / one:.2f} of the time of one ({one:.1f} ms)")
PY
[ -f "$out/base-2.log" ] && cat "$out/base-2.log"
echo "all: $((SECONDS - began)) s"
