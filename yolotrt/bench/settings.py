"""What a benchmark run was asked to measure, as a result keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.pipeline.settings import Dispatch, GlobalOrder, PassMode


@dataclass(frozen=True)
class SourceFile:
    """A picture of the source.

    Attributes:
        file: Its name.
        sha256: Hash of its bytes.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class Settings:
    """What was asked for; None also where an earlier version did not say.

    Attributes:
        modes: Passes to measure.
        dispatch: Dispatch modes; empty for all that the device offers.
        groups: Group counts.
        overlap: Tile overlap in [0, 1).
        threads: CPU threads that all groups together may use.
        iterations: Measured frames per case.
        duration_s: Seconds to measure all cases together instead; with ``until_stable`` the cap.
        until_stable: How well every median had to be known.
        warmup: Unmeasured frames per case, first; None warms up until stable.
        depth: Frames in flight on a GPU.
        orders: When the pass over the whole frame ran beside tiles on a GPU.
        source: What the user named.
        source_files: Every picture of the source, in the order of the frames; None for a synthetic scene.
        frames: Number of frames.
        frame_px: Their sizes, such as ``3840x2160``.
    """

    modes: tuple[PassMode, ...] | None = None
    dispatch: tuple[Dispatch, ...] | None = None
    groups: tuple[int, ...] | None = None
    overlap: float | None = None
    threads: int | None = None
    iterations: int | None = None
    duration_s: float | None = None
    until_stable: float | None = None
    warmup: int | None = None
    depth: int | None = None
    orders: tuple[GlobalOrder, ...] | None = None
    source: str | None = None
    source_files: tuple[SourceFile, ...] | None = None
    frames: int | None = None
    frame_px: str | None = None
