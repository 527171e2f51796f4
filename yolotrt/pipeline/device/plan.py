"""What a pipeline makes for frames of one size, and of one kind of pixels, and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolotrt.arrays import Frame
from yolotrt.data.colours import Colours
from yolotrt.geometry.tiles import TileGrid, split_groups
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, deal
from yolotrt.pipeline.device.worker import DeviceWorker
from yolotrt.pipeline.settings import PipelineSettings


@dataclass
class DevicePlan:
    """What depends on the frame's size, and on how its pixels are stored."""

    grid: TileGrid
    workers: list[DeviceWorker]
    colours: Colours | None
    turn: int = 0

    @classmethod
    def make(
        cls,
        gpus: Sequence[Gpu],
        settings: PipelineSettings,
        frame_wh: tuple[int, int],
        colours: Colours | None,
    ) -> DevicePlan:
        """Make everything on each GPU; see :class:`DeviceWorker`."""
        grid = settings.grid(frame_wh, gpus[0].engine.file.spec.input_wh)
        groups = split_groups(len(grid.origins), settings.groups) if grid.origins else []
        shares = deal(groups, len(gpus), runs_global="global" in settings.mode)
        plan = cls(grid, [], colours)
        try:
            for gpu, share in zip(gpus, shares, strict=False):
                shared = [slot.frame.pinned for slot in plan.workers[0].slots] if plan.workers else []
                pinned = [buffer for buffer in shared if buffer is not None]
                plan.workers.append(DeviceWorker(gpu, grid, share, settings, pinned, colours))
        except BaseException:
            plan.close()
            raise
        return plan

    @property
    def bounds(self) -> list[int]:
        """Rows of the frame behind which work can start on some GPU, in order; the last are all of them."""
        return sorted({rows for worker in self.workers for rows in worker.bounds})

    @property
    def next_buffer(self) -> Frame:
        """The page-locked memory of the next frame; all GPUs upload from it."""
        frame = self.workers[0].slots[self.turn].frame
        assert isinstance(frame, FrameBuffer), "the plan is of pictures"
        return frame.array

    def close(self) -> None:
        """Free it all."""
        while self.workers:  # the first one owns the page-locked frames and goes last
            self.workers.pop().close()
