"""Before anything is timed: does an engine give an image the same in a batch as alone?

A library chooses other kernels for another batch size. A time is worth nothing if those compute
something else, and a network that mixes the images of a batch cannot be run on tiles at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from yolotrt.arrays import F32, U8, Frame
from yolotrt.backends.base import Context, Engine, EngineFile
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.registry import backend
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.errors import ExecutionError
from yolotrt.geometry.detections import CONFIDENT
from yolotrt.geometry.letterbox import network_input
from yolotrt.geometry.tiles import split_groups, tile_grid
from yolotrt.model.spec import ModelSpec
from yolotrt.pipeline.chunks import in_batches

TOLERANCE: Mapping[str, float] = {"fp32": 0.005, "fp16": 0.05, "int8": 0.2, "fp8": 0.2}
"""Largest accepted difference, by precision: root mean square, relative to the values themselves. TensorRT
may compute FP32 as TF32 (10 bits of mantissa); in 8 bits one rounding that falls otherwise is 1/127."""

SMALLEST = 5e-3
"""Values whose root mean square is below this are compared with this: the scores of an empty tile."""

HOST_BATCH = 8
"""Largest batch that is tried on a processor, whose kernels do not depend on it: 32 would take seconds."""


def check_batches(
    engines: Sequence[EnginePair],
    frames: Sequence[Frame],
    settings: SweepSettings,
    say: Callable[[str], None],
) -> None:
    """Compare, for each engine that runs tiles, the largest batch to be measured with a batch of 1.

    On a processor that is at most :data:`HOST_BATCH`.

    Args:
        engines: Loaded engines.
        frames: What is measured; the tiles of the first are looked at.
        settings: What is measured.
        say: Told the outcome, or why an engine cannot be checked.

    Raises:
        ExecutionError: An engine gives a tile something else in a batch than alone.
        ArtifactError: An engine has no profile for its largest batch.
    """
    if not any("tiled" in mode for mode in settings.modes):
        return
    for pair in engines:
        spec = pair.tiles.file.spec
        counts = [_tiles(frame, spec, settings.overlap) for frame in frames]
        _advise(pair.tiles.file, counts, settings.groups, say)
        group = -(-max(counts) // min(settings.groups))
        batch = max(len(part) for part in in_batches(range(group), pair.tiles.file))
        if not pair.tiles.parts:
            batch = min(batch, HOST_BATCH)
        if batch > 1:
            _check(pair.tiles, frames[0], batch, settings, say)


def _advise(
    file: EngineFile, counts: Sequence[int], groups: Sequence[int], say: Callable[[str], None]
) -> None:
    """Say which groups run in several batches for want of a profile, and how to build an engine with it."""
    dealt = {(count, number) for count in counts for number in groups if number <= count}
    sizes = {len(part) for count, number in dealt for part in split_groups(count, number)}
    between = range(min(file.batches, default=0), max(file.batches, default=0))
    lacking = sorted(size for size in sizes - {*file.batches} if size in between)
    if lacking:
        runs = ", ".join(str(len(part)) for part in in_batches(range(lacking[0]), file))
        wanted = ",".join(map(str, sorted({*file.batches, *lacking})))
        say(
            f"note: {file.name} has no profile for {lacking[0]} tiles, which run as {runs}. Faster: "
            f"{rebuild_command(file, batches=wanted)}"
        )


def _check(
    engine: Engine, frame: Frame, batch: int, settings: SweepSettings, say: Callable[[str], None]
) -> None:
    file = engine.file
    if (file.batches and 1 not in file.batches) or file.spec.batch not in (None, 1):
        say(f"note: {file.name} takes no single image, so its batches of {batch} are not checked.")
        return
    tiles = tile_grid((frame.shape[1], frame.shape[0]), file.spec.input_wh, settings.overlap).cut(frame)
    on_gpu = engine.parts
    # On a GPU a copy is asked: what is measured later must find neither memory taken nor kernels chosen.
    checked = backend(file.backend).load_on(file, on_gpu[0].device) if on_gpu else engine
    try:
        found = []
        for size in (1, batch):
            context = checked.new_context(size, threads=settings.threads)
            if not context.takes_host_images:
                say(f"note: {file.path.name} takes FP16 images, so its batches of {batch} are not checked.")
                return
            found.append(_last_of(context, tiles))
        _compare(file, found[0], found[1], batch, say)
    finally:
        if checked is not engine:
            checked.close()


def _tiles(frame: Frame, spec: ModelSpec, overlap: float) -> int:
    return len(tile_grid((frame.shape[1], frame.shape[0]), spec.input_wh, overlap).origins)


def _last_of(context: Context, tiles: Sequence[U8]) -> tuple[F32, F32]:
    """Return head and prototypes of the frame's middle tile, as the last of a batch of other tiles."""
    first = len(tiles) // 2 + 1 - context.batch
    network_input([tiles[(first + i) % len(tiles)] for i in range(context.batch)], out=context.images)
    head, prototypes = context.run()
    return head[-1].astype(np.float32), prototypes[-1].astype(np.float32)


def _compare(
    file: EngineFile,
    alone: tuple[F32, F32],
    within: tuple[F32, F32],
    batch: int,
    say: Callable[[str], None],
) -> None:
    if not all(np.isfinite(values).all() for values in alone):
        return  # the engine is broken whatever the batch; decoding says so
    pairs = {**comparable(alone[0], within[0], file.spec), "prototypes": (alone[1], within[1])}
    differences = {name: difference(*pair) for name, pair in pairs.items()}
    # NaN is larger than anything.
    worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    bound = TOLERANCE[file.precision]
    if not differences[worst] <= bound:
        raise ExecutionError(
            f"{file.path} gives a tile something else in a batch of {batch} than alone: its {worst} differ "
            f"by {differences[worst]:.2g} of their size, more than {bound:g} ({file.precision}).",
            hint="Build it again; if an FP32 engine differs too, the network mixes the images of a batch.",
        )
    say(f"check: {file.name}: a batch of {batch} gives what single tiles give ({differences[worst]:.1g})")


def comparable(alone: F32, within: F32, spec: ModelSpec) -> dict[str, tuple[F32, F32]]:
    """Return the parts of two heads of one image that should be equal, by name.

    The order of an ``end2end`` head's rows says little: a hair's breadth in score swaps them. Of its
    confident detections each is put beside the nearest one of the other head.

    Args:
        alone: (4 + classes + coefficients, anchors), or (detections, 6 + coefficients) if ``end2end``.
        within: The same from another run.
        spec: The network's interface.
    """
    if spec.head == "raw":
        ends = (4, 4 + len(spec.names))
        parts = zip(np.split(alone, ends), np.split(within, ends), strict=True)
        return dict(zip(("boxes", "scores", "mask coefficients"), parts, strict=True))
    sure = alone[alone[:, 4] >= CONFIDENT]  # these must be found again
    expected, candidates = (_placed(rows, spec) for rows in (sure, within))
    nearest = np.abs(expected[:, None] - candidates[None]).max(axis=2).argmin(axis=1)
    return {
        "scores": (alone[:, 4], within[:, 4]),
        "boxes or classes": (expected, candidates[nearest]),
        "mask coefficients": (sure[:, 6:], within[nearest, 6:]),
    }


def difference(expected: F32, found: F32) -> float:
    """Return the root mean square of the difference over that of the values; 0 for no values."""
    if not expected.size:
        return 0.0
    return _rms(found - expected) / max(_rms(expected), SMALLEST)


def _rms(values: F32) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _placed(rows: F32, spec: ModelSpec) -> F32:
    """Return boxes with their class, which counts as much as the width of the input."""
    return np.concatenate([rows[:, :4], rows[:, 5:6] * spec.input_wh[0]], axis=1)
