"""Clips to measure decoding on: a view that moves over a mosaic of photographs, encoded by FFmpeg.

    python -m benchmarks.video_clips PHOTOGRAPHS --out FOLDER [--frames 48]

They are made, not filmed: every frame is 3840x2160 pixels of photographs, shifted by 4 and 2 pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from yolotrt.arrays import Frame
from yolotrt.data.colours import BT709, FULL_RANGE, VIDEO_RANGE
from yolotrt.data.images import read_image

WH = (3840, 2160)
FPS = 30
SPARE = (256, 128)
"""Pixels over which the view moves."""

HEIGHTS = (540, 720, 360, 640)
"""Of rows of photographs."""

_X265 = {"preset": "ultrafast", "crf": "26", "x265-params": "log-level=error"}
CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "superfast", "crf": "23"}),
    "hevc": ("libx265", "yuv420p", _X265),
    "hevc10": ("libx265", "yuv420p10le", _X265),
}
"""Encoder, pixels and options by name."""


def mosaic(folder: Path) -> Frame:
    """Return photographs beside each other, in rows."""
    paths = sorted(folder.rglob("*.jpg"))
    width, height = (side + more for side, more in zip(WH, SPARE, strict=True))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, row, taken = 0, 0, 0
    while top < height:
        tall, left = HEIGHTS[row % len(HEIGHTS)], 0
        while left < width:
            photo = read_image(paths[taken % len(paths)])
            taken += 1
            wide = round(photo.shape[1] * tall / photo.shape[0])
            smaller = tall < photo.shape[0]
            how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
            photo = np.asarray(cv2.resize(photo, (wide, tall), interpolation=how), np.uint8)
            part = canvas[top : top + tall, left : left + wide]
            part[:] = photo[: part.shape[0], : part.shape[1]]
            left += wide
        top, row = top + tall, row + 1
    return canvas


def encode(canvas: Frame, path: Path, name: str, frames: int) -> None:
    """Write a clip; its colours are BT.709 in video range, and tagged so."""
    encoder, pixels, options = CLIPS[name]
    scaler = VideoReformatter()
    with av.open(str(path), "w") as sink:
        stream: Any = sink.add_stream(encoder, FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *WH, pixels
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = VIDEO_RANGE
        for k in range(frames):
            x, y = 4 * k % SPARE[0], 2 * k % SPARE[1]
            view = np.ascontiguousarray(canvas[y : y + WH[1], x : x + WH[0]])
            picture = scaler.reformat(
                av.VideoFrame.from_ndarray(view, format="bgr24"),
                format=pixels,
                src_color_range=FULL_RANGE,
                dst_colorspace=BT709,
                dst_color_range=VIDEO_RANGE,
            )
            picture.pts, picture.time_base = k, Fraction(1, FPS)
            sink.mux(stream.encode(picture))
        sink.mux(stream.encode(None))


def repeated(clip: Path, target: Path, frames: int) -> Path:
    """Write a clip again and again into one file, without encoding it anew, until it has so many frames."""
    with av.open(str(target), "w") as sink:
        written, stream, shift = 0, None, 0
        while written < frames:
            with av.open(str(clip)) as source:
                given = source.streams.video[0]
                stream = stream or sink.add_stream_from_template(given)
                packets = [p for p in source.demux(given) if p.size]
                step = packets[0].duration
                for packet in packets:
                    packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
                    packet.stream = stream
                    sink.mux(packet)
                written += len(packets)
                shift += step * len(packets)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=48)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    canvas = mosaic(options.photographs)
    for name in CLIPS:
        encode(canvas, options.out / f"{name}.mp4", name, options.frames)
        print(options.out / f"{name}.mp4", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
