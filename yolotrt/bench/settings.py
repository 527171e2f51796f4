"""What a benchmark run is asked to measure, and what of that a result keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yolotrt.artifacts.fields import Count, Seconds, Share, Some
from yolotrt.bench.arrival import Arrival, Pace
from yolotrt.bench.stopping import StopRule
from yolotrt.errors import UsageError
from yolotrt.geometry.tile_overlap import require_overlap
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.modes import COMPARED_MODES
from yolotrt.pipeline.settings import Dispatch, GlobalOrder, PassMode
from yolotrt.pipeline.tile_choice import ALL_TILES, TileChoice


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
        arrival: How frames came, such as ``30fps``; None back to back.
        energy_s: Seconds for which each case was run to read its energy.
        orders: When the pass over the whole frame ran beside tiles on a GPU.
        merge: How tiles were joined, and how detections were compared for it.
        tiles: Which tiles ran, as ``--tiles`` names them.
        source: What the user named.
        source_files: Every picture of the source, in the order of the frames; None for a synthetic scene.
        frames: Number of frames.
        frame_px: Their sizes, such as ``3840x2160``.
    """

    modes: tuple[PassMode, ...] | None = None
    dispatch: tuple[Dispatch, ...] | None = None
    groups: tuple[Some, ...] | None = None
    overlap: Share | None = None
    threads: Some | None = None
    iterations: Some | None = None
    duration_s: Seconds | None = None
    until_stable: Share | None = None
    warmup: Count | None = None
    depth: Some | None = None
    arrival: str | None = None
    energy_s: Seconds | None = None
    orders: tuple[GlobalOrder, ...] | None = None
    merge: str = "seams"
    tiles: str = "all"
    source: str | None = None
    source_files: tuple[SourceFile, ...] | None = None
    frames: Some | None = None
    frame_px: str | None = None


@dataclass(frozen=True)
class SweepSettings:
    """What to measure and for how long.

    Attributes:
        modes: Passes to measure.
        dispatch: Dispatch modes to measure for each tiled pass; empty takes all that the engine's device
            offers.
        groups: Group counts to measure for each tiled pass.
        overlap: Tile overlap in [0, 1).
        threads: CPU threads that all groups together may use.
        iterations: Measured frames per case; the rule when nothing else is given.
        duration_s: Seconds to measure all cases together instead; with ``until_stable`` the cap.
        until_stable: Stop when every median is known this well; see :class:`StopRule`.
        warmup: Unmeasured frames per case, first; None warms up until stable.
        depth: Frames in flight on a GPU.
        arrival: How frames come, as :meth:`yolotrt.bench.arrival.Arrival.parse` reads it; iterations are
            arrivals then. None takes them back to back.
        energy_s: Seconds for which each case runs alone to read its energy, where a GPU tells; 0 does not.
            With ``arrival`` it is read meanwhile.
        orders: When the global pass runs beside tiles on a GPU; each is a case of its own.
        merge: How tiles are joined.
        tiles: Which tiles run.

    Raises:
        UsageError: A value is out of range.
    """

    modes: tuple[PassMode, ...] = COMPARED_MODES
    dispatch: tuple[Dispatch, ...] = ()
    groups: tuple[int, ...] = (1, 2, 4, 8)
    overlap: float = 0.2
    threads: int = 1
    iterations: int = 20
    duration_s: float | None = None
    until_stable: float | None = None
    warmup: int | None = None
    depth: int = 1
    arrival: str | None = None
    energy_s: float = 0.5
    orders: tuple[GlobalOrder, ...] = ("concurrent",)
    merge: MergeSettings = field(default_factory=MergeSettings)
    tiles: TileChoice = ALL_TILES

    def __post_init__(self) -> None:
        self.stop  # noqa: B018 - refuses what makes no sense
        require_overlap(self.overlap)
        self.tiles.require_tiled(*self.modes)
        if self.pace is not None and self.depth > 1:
            raise UsageError(
                "--arrival and --pipeline-depth 2 do not go together: frames that come on their own clock "
                "are processed one by one.",
                hint="Leave out one of the two.",
            )

    def recorded(self) -> dict[str, Any]:
        """Return the fields of :class:`Settings` that these are."""
        return {**vars(self), "merge": self.merge.words, "tiles": self.tiles.words}

    @property
    def pace(self) -> Pace | None:
        """How frames come; None back to back."""
        return None if self.arrival is None else Pace(Arrival.parse(self.arrival))

    @property
    def stop(self) -> StopRule:
        """When to stop."""
        return StopRule(self.iterations, self.duration_s, self.until_stable)
