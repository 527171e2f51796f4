"""What one frame held, read from one or several GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from yolotrt.geometry.detections import Detections, PerImage
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.results import PassFound
from yolotrt.pipeline.merge import MergeSettings, merge_frame


@dataclass(frozen=True)
class ShareFound:
    """What one GPU found.

    Attributes:
        tiles: In its tiles, if it has some.
        global_pass: In the global pass, if there was one.
        merged: Both merged, if it did that.
    """

    tiles: PassFound | None
    global_pass: PassFound | None
    merged: Detections | None


@dataclass(frozen=True)
class FrameFound:
    """What all GPUs found; see :class:`yolotrt.pipeline.frames.Unmerged`."""

    shares: Sequence[ShareFound]

    @cached_property
    def tiles(self) -> Sequence[Detections]:
        """What each tile found, in px of the frame."""
        passes = [share.tiles.detections for share in self.shares if share.tiles]
        return PerImage.joined(passes) if passes else ()

    @cached_property
    def global_pass(self) -> Detections | None:
        """What the global pass found, in px of the frame, if there was one."""
        return next((share.global_pass.detections[0] for share in self.shares if share.global_pass), None)

    @property
    def merged(self) -> Detections | None:
        """One detection per object, best first, if one GPU saw and merged everything."""
        return self.shares[0].merged

    def merge(self, grid: TileGrid, settings: MergeSettings, *, conf: float) -> Detections:
        """Merge on the host; without tiles the whole frame is all there is."""
        if any(share.tiles for share in self.shares):
            return merge_frame(self.tiles, grid, self.global_pass, settings, conf=conf)
        assert self.global_pass is not None
        return self.global_pass
