# SPDX-License-Identifier: Apache-2.0
"""Decodes an AEDAT4 file in a process of its own: ``python -P aedat4_child.py FILE``, the events on standard output.

The decoder is compiled code that ends its process on some damaged files; the parent then still has one to speak in.
Output: 8 bytes height and width (little-endian uint32), then records of t (int64), x, y (uint16) and p (uint8).
A sentence on standard error and exit code 1 where the file cannot be read. Imports nothing of this package.
"""

import sys

import aedat
import numpy as np

RECORD = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])


def main(file: str) -> int:
    """Write the first event stream of ``file``; -> exit code."""
    decoder = aedat.Decoder(file)
    streams = {i: s for i, s in decoder.id_to_stream().items() if s["type"] == "events"}
    if not streams:
        print("no event stream", file=sys.stderr)
        return 2
    chosen = min(streams)
    out = sys.stdout.buffer
    out.write(np.array((streams[chosen]["height"], streams[chosen]["width"]), "<u4").tobytes())
    for packet in decoder:
        if packet["stream_id"] == chosen and "events" in packet:
            events = packet["events"]
            records = np.empty(len(events), RECORD)
            for here, there in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
                records[here] = events[there]
            out.write(records.tobytes())
    return 0


def limit_memory(file: str) -> None:
    """A damaged length must not take the machine's memory: 64 times the file, at least 2 GiB (POSIX only)."""
    if sys.platform != "win32":
        import os
        import resource

        most = max(2 << 30, 64 * os.path.getsize(file))
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    try:
        limit_memory(sys.argv[1])
        code = main(sys.argv[1])
    except BaseException as error:  # noqa: BLE001 - the decoder's PanicException is no Exception
        print(f"{' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    sys.exit(code)
