"""From packets to detections on one GPU: NVDEC against decoding on the host and uploading.

    python -m benchmarks.video_gpu ENGINE CLIP.mp4 ... [--frames 400] [--rounds 3] [--compared 8]
        [--output FILE]

ENGINE is one of ``yolotrt build`` for this GPU; ``python -m benchmarks.video_clips`` makes clips. For
each clip: are NVDEC's samples those of FFmpeg, do detections agree with those from FFmpeg's RGB, how long
does a frame take by each way (in turns, each through the path of ``yolotrt run --drop block`` with two
frames in flight), and how many bytes go to the GPU. A clip is repeated until there are frames enough.

The ways: NVDEC as ``run`` uses it, with two sessions for H.264; with one; PyAV with all threads; and OpenCV,
as ``run`` did it before it had decoders of its own. ``--compared 0`` leaves detections out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.video_agreement import agreement, exact_bgr
from benchmarks.video_clips import repeated
from benchmarks.video_sources import OpenCvFile
from tests.data.yuv_frames import bgr
from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.bench.sustain import sustain
from yolotrt.cuda.device import Device
from yolotrt.cuda.nvdec import Nvdec
from yolotrt.data.feed import Feed
from yolotrt.data.packets import OnGpu
from yolotrt.data.pixels import planes
from yolotrt.data.side_by_side import SideBySide
from yolotrt.data.video import FileSource, MovingSource
from yolotrt.data.video_file import VideoFile
from yolotrt.data.yuv import YuvFrame
from yolotrt.geometry.detections import Detections
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import gpu_state
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import now
from yolotrt.workflow.decoding import two_help

WAYS = ("nvdec", "one session", "pyav", "opencv")
WARM_UP = 48
"""Frames before the steady state, left out."""


SAME = 60
"""Frames whose samples are compared with FFmpeg's: more than a group of pictures has."""


def on_gpu(device: Device, *, sessions: int = 2) -> OnGpu:
    """Return how files are decoded on a GPU; another way is an error."""

    def one() -> Nvdec:
        return Nvdec(device, live=False)

    if sessions == 1:
        return OnGpu(one, required=True)
    return OnGpu(lambda: SideBySide(one, partial(two_help, device)), required=True)


def source_of(way: str, path: Path, device: Device) -> MovingSource:
    """Return a source that decodes in one of the ways."""
    if way == "opencv":
        return OpenCvFile(path)
    source = FileSource(path)
    sessions = {"nvdec": 2, "one session": 1}.get(way)
    source.on_gpu = on_gpu(device, sessions=sessions) if sessions else None
    return source


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("engine", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compared", type=int, default=8)
    parser.add_argument("--work", type=Path, default=Path("runs/bench/video-gpu"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/video-gpu.json"))
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"device": "cuda:0", "mode": "tiled+global", "depth": 2}
    with TiledPipeline.open(options.engine, **settings) as pipeline:
        device = pipeline.gpu
        assert device is not None, "opened on one GPU"
        bus = device.info.pci_bus_id
        report: dict[str, Any] = {
            "environment": as_values(environment(os.cpu_count() or 1, bus)), "device": asdict(device.info),
            "gpu_before": gpu_state(bus), "engine": options.engine.name, "settings": settings, "clips": {},
        }  # fmt: skip
        for clip in options.clips:
            found: dict[str, Any] = {"file": described(clip)}
            report["clips"][clip.stem] = found
            long = repeated(clip, options.work / f"long-{clip.name}", options.frames + 4 * WARM_UP)
            found["samples_equal"] = samples_equal(long, device, SAME)
            if options.compared:
                found["agreement"] = agreed(clip, device, pipeline, options.compared)
            if options.rounds:
                found |= speeds(long, device, pipeline, options.frames, options.rounds)
            report["gpu_after"] = gpu_state(bus)
            write_document(options.output, format="yolotrt.video-gpu", version=1, body=report)
            print(clip.stem, found["samples_equal"], found.get("mean_ms"), file=sys.stderr)
    return 0


def described(clip: Path) -> dict[str, Any]:
    """Return what a clip is."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return {
            "codec": context.name, "pixels": context.pix_fmt, "size_wh": [context.width, context.height],
            "frames": stream.frames, "bytes": clip.stat().st_size,
        }  # fmt: skip


def frames_of(clip: Path, device: Device, count: int, sessions: int = 2) -> Iterator[YuvFrame]:
    """Give the first frames of a clip as NVDEC decodes them."""
    video = VideoFile(clip, on_gpu(device, sessions=sessions))
    try:
        for _, found in zip(range(count), video.frames(), strict=False):
            assert isinstance(found.image, YuvFrame)
            yield found.image
    finally:
        video.close()


def samples_equal(clip: Path, device: Device, count: int) -> dict[str, int]:
    """Return of how many frames NVDEC gives the samples that FFmpeg gives, bit for bit."""
    with av.open(str(clip)) as container:
        right = [
            frame.to_ndarray() for _, frame in zip(range(count), container.decode(video=0), strict=False)
        ]
    equal = 0
    for one, frame in zip(right, frames_of(clip, device, count), strict=True):
        samples = frame._copied()
        equal += np.array_equal(planes(samples, frame.wh[1]), one)
    return {"frames": len(right), "equal": equal}


def agreed(clip: Path, device: Device, pipeline: TiledPipeline, count: int) -> dict[str, Any]:
    """Compare detections from NVDEC's frames with those from RGB: FFmpeg's, exact and as it is by default.

    And that of NumPy by the formula that the kernels have, from NVDEC's samples.
    """
    with av.open(str(clip)) as container:
        frames = [frame for _, frame in zip(range(count), container.decode(video=0), strict=False)]
        exact = [exact_bgr(frame) for frame in frames]
    usual = [found.image for _, found in zip(range(count), VideoFile(clip).frames(), strict=False)]
    same = [bgr(frame._copied(), frame.colours) for frame in frames_of(clip, device, count)]
    ours = [result.detections for result in pipeline.frames(frames_of(clip, device, count))]

    def of(pictures: Sequence[Any]) -> list[Detections]:
        return [result.detections for result in pipeline.frames(pictures)]

    found = {
        name: agreement(of(pictures), ours)
        for name, pictures in (("same RGB", same), ("exact RGB", exact), ("usual RGB", usual))
    }
    return found | {"same RGB against itself with noise": agreement(of(same), of([noisy(f) for f in same]))}


def noisy(picture: Frame) -> Frame:
    """Return a picture with 0.6 % of its samples a level higher or lower: what rounding alone may do."""
    by = np.random.default_rng(0).choice([-1, 0, 1], picture.shape, p=[0.003, 0.994, 0.003])
    return np.asarray(np.clip(picture + by, 0, 255), np.uint8)


def speeds(clip: Path, device: Device, pipeline: TiledPipeline, frames: int, rounds: int) -> dict[str, Any]:
    """Measure each way in turns; the decoder alone and the network alone, too.

    One session is a way of its own where there would be two.
    """
    both = described(clip)["codec"] == "h264"
    ways = [way for way in WAYS if both or way != "one session"]
    samples: dict[str, list[float]] = {}
    latency: dict[str, list[float]] = {}
    uploaded: dict[str, float] = {}
    for _ in range(rounds):
        for way in ways:
            done, ages = through(source_of(way, clip, device), pipeline, frames + WARM_UP)
            samples.setdefault(way, []).extend(np.diff(done[WARM_UP:]) / 1e6)
            latency.setdefault(way, []).extend(ages[WARM_UP:])
        for sessions, name in ((2, "decoder alone"), (1, "one session alone"))[: 1 + both]:
            found = decoded(clip, device, frames, sessions)
            samples.setdefault(name, []).extend(np.diff(found) / 1e6)
        one = next(frames_of(clip, device, 1))
        done = [now() for _ in pipeline.frames(one for _ in range(frames))]
        samples.setdefault("network alone", []).extend(np.diff(done[WARM_UP:]) / 1e6)
    for way in ways:  # apart from the times: to look at each copy costs some
        with copies_to(device) as copied:
            done, _ = through(source_of(way, clip, device), pipeline, WARM_UP)
        uploaded[way] = copied[0] / len(done)
    with av.open(str(clip)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return {
        "samples_ms": {k: [round(float(x), 4) for x in v] for k, v in samples.items()},
        "mean_ms": {k: float(np.mean(v)) for k, v in samples.items()},
        "p50_ms": {k: float(np.median(v)) for k, v in samples.items()},
        "read_to_result_ms": {k: [round(x, 3) for x in v] for k, v in latency.items()},
        "uploaded_bytes_per_frame": uploaded,
        "packet_bytes_per_frame": float(np.mean(sizes)),
    }


def through(source: MovingSource, pipeline: TiledPipeline, frames: int) -> tuple[list[int], list[float]]:
    """Return when each result was there, ns, and the ms since its frame was read; by the path of ``run``."""
    done: list[int] = []
    ages: list[float] = []

    class Enough(Exception):
        pass

    def deliver(queued: Any, _result: Any) -> None:
        done.append(now())
        ages.append((done[-1] - queued.read_ns) / 1e6)
        if len(done) == frames:
            raise Enough

    feed = Feed(source, policy="block").start()
    try:
        sustain(pipeline, feed, deliver=deliver)
    except Enough:
        pass
    finally:
        feed.close()
    return done, ages


def decoded(clip: Path, device: Device, frames: int, sessions: int) -> list[int]:
    """Return when NVDEC had decoded each frame, ns, with nobody who wants them."""
    found = [now() for _ in frames_of(clip, device, frames + WARM_UP, sessions)]
    return found[WARM_UP:]


@contextmanager
def copies_to(device: Device) -> Iterator[list[int]]:
    """Count the bytes that are copied from the host to the GPU meanwhile."""
    driver: Any = device._driver
    plain, total = driver.copy, [0]

    def copy(target: int, source: int, nbytes: int, stream: int) -> None:
        total[0] += nbytes if _is_host(driver, source) and not _is_host(driver, target) else 0
        plain(target, source, nbytes, stream)

    driver.copy = copy
    try:
        yield total
    finally:
        del driver.copy


def _is_host(driver: Any, address: int) -> bool:
    """Whether an address is in host memory, as CUDA says."""
    cuda = driver._cuda
    kind = cuda.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE
    code, value = cuda.cuPointerGetAttribute(kind, address)
    return not int(code) and int(value) == int(cuda.CUmemorytype.CU_MEMORYTYPE_HOST)


if __name__ == "__main__":
    sys.exit(main())
