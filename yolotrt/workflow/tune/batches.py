"""Which batches a search runs, known before any engine is built for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from yolotrt.arrays import Frame
from yolotrt.backends.profiles import Profile
from yolotrt.bench.sweep import SweepSettings
from yolotrt.errors import UsageError
from yolotrt.geometry.tiles import split_groups, tile_grid
from yolotrt.pipeline.chunks import MOST_AT_ONCE


def chunked(
    sweep: SweepSettings,
    chunk: Sequence[int],
    input_wh: tuple[int, int],
    frames: Sequence[Frame],
    say: Callable[[str], None],
) -> SweepSettings:
    """Return the sweep with the group counts that chunk sizes stand for: tiles / chunk, rounded up.

    Raises:
        UsageError: The pass has no tiles.
    """
    if "tiled" not in sweep.modes[0]:
        raise UsageError("--chunk is about tiles, and this pass has none.", hint="Use --mode tiled.")
    tiles = max(_tile_counts(_sizes(frames), input_wh, sweep.overlap))
    groups = [math.ceil(tiles / size) for size in chunk]
    pairs = ", ".join(f"{size} tiles as {count}" for size, count in zip(chunk, groups, strict=True))
    say(f"chunks: {tiles} tiles in batches of up to {pairs} groups")
    return replace(sweep, groups=tuple(dict.fromkeys(groups)))


def needed_profiles(
    sweep: SweepSettings,
    input_wh: tuple[int, int],
    frames: Sequence[Frame],
    annotated_wh: set[tuple[int, int]],
) -> tuple[Profile, ...]:
    """Return a profile for each batch size that is measured, and one range for those of the evaluation.

    Args:
        sweep: Pass (exactly one), group counts and overlap.
        input_wh: Width and height of the network's input, px.
        frames: What is measured on.
        annotated_wh: Sizes of the images that are evaluated on, an image's tiles in one batch.

    Raises:
        UsageError: More groups than tiles.
    """
    measured, evaluated = {1}, {1}  # the global pass is a batch of its own
    if "tiled" in sweep.modes[0]:
        for tiles in _tile_counts(_sizes(frames), input_wh, sweep.overlap):
            measured |= {len(part) for groups in sweep.groups for part in split_groups(tiles, groups)}
        evaluated |= _tile_counts(annotated_wh, input_wh, sweep.overlap)
    profiles = [Profile.fixed(size) for size in sorted(measured)]
    if evaluated - measured:
        most = min(max(evaluated), MOST_AT_ONCE)
        profiles.append(Profile(1, most, most))
    return tuple(profiles)


def _sizes(frames: Sequence[Frame]) -> set[tuple[int, int]]:
    return {(frame.shape[1], frame.shape[0]) for frame in frames}


def _tile_counts(sizes: set[tuple[int, int]], input_wh: tuple[int, int], overlap: float) -> set[int]:
    return {len(tile_grid(frame_wh, input_wh, overlap).origins) for frame_wh in sizes}
