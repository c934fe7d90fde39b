# SPDX-License-Identifier: Apache-2.0
"""Make the moving picture of README and home page from a tracked video: an animated WebP, small enough to commit.

    modaltrack demo && python tools/moving_picture.py modaltrack-demo/video.mp4 docs/tracked.webp

Needs Pillow. Every second frame is taken, so the clip keeps its pace.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
from PIL import Image

STEP = 2
LIMIT = 2_000_000  # bytes; a larger file is not committed


def write(video: Path, out: Path, width: int, quality: int) -> int:
    """Write the animation and return its size in bytes.

    Args:
        video: a file that PyAV can open.
        out: the WebP file.
        width: of the picture in pixels.
        quality: 0..100 of WebP's lossy mode.

    Raises:
        ValueError: if the result is larger than ``LIMIT``; nothing is left then.
    """
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 30)
        frames = [f.to_image() for i, f in enumerate(container.decode(stream)) if i % STEP == 0]
    height = round(frames[0].height * width / frames[0].width)
    small = [frame.resize((width, height), Image.Resampling.LANCZOS) for frame in frames]
    small[0].save(
        out,
        save_all=True,
        append_images=small[1:],
        duration=round(1000 * STEP / rate),
        loop=0,
        quality=quality,
        method=6,
    )
    size = out.stat().st_size
    if size > LIMIT:
        out.unlink()
        raise ValueError(
            f"The picture has {size:,} bytes and at most {LIMIT:,} are wanted; lower --width or --quality."
        )
    return size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--quality", type=int, default=60)
    options = parser.parse_args()
    print(f"{options.out}: {write(options.video, options.out, options.width, options.quality):,} bytes")
