"""What a pipeline makes for frames of one size, and of one kind of pixels, and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from yolotrt.arrays import Frame
from yolotrt.data.colours import Colours
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.found import ShareFound
from yolotrt.pipeline.device.joint import JointMerge
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, deal
from yolotrt.pipeline.device.worker import DeviceWorker
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import Span


@dataclass
class DevicePlan:
    """What depends on the frame's size, and on how its pixels are stored.

    Attributes:
        grid: Where the tiles lie.
        workers: What runs on each GPU.
        colours: Of frames that a decoder leaves on the GPU; None for pictures that are uploaded.
        turn: Which of the frames in flight comes next.
        joint: Merges on one of several GPUs, where that is possible.
    """

    grid: TileGrid
    workers: list[DeviceWorker]
    colours: Colours | None
    turn: int = 0
    joint: JointMerge | None = None

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
        groups = settings.tile_groups(grid)
        shares = deal(groups, len(gpus), runs_global="global" in settings.mode)
        plan = cls(grid, [], colours)
        try:
            for gpu, share in zip(gpus, shares, strict=False):
                shared = [slot.frame.pinned for slot in plan.workers[0].slots] if plan.workers else []
                pinned = [buffer for buffer in shared if buffer is not None]
                plan.workers.append(DeviceWorker(gpu, grid, share, settings, pinned, colours))
            if grid.origins and JointMerge.possible(plan.workers, settings):
                plan.joint = JointMerge(plan.workers, grid, settings)
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

    def upload_at_once(self, slot: int) -> None:
        """Start the upload of a frame that is in page-locked memory, the first rows of each GPU first.

        All copies before the work on them: each GPU's takes longer than starting those of all.
        """
        turns = [
            (worker, step)
            for turn in zip_longest(*(worker.jobs[slot].steps for worker in self.workers))
            for worker, step in zip(self.workers, turn, strict=True)
            if step is not None
        ]
        for worker, step in turns:
            worker.copy(slot, step.rows, step.ready)
        for worker, step in turns:
            worker.launch(slot, step.ready)

    def submit(self, slot: int) -> None:
        """Start what comes after the upload and all jobs, on all GPUs."""
        if self.joint is not None:
            self.joint.submit(slot)
            return
        for worker in self.workers:
            worker.submit(slot)

    def read(self, slot: int) -> list[ShareFound]:
        """Return what each GPU found, when all masks are there; merged by one of them where that can be."""
        if self.joint is not None:
            return self.joint.read(slot)
        return [worker.read(slot) for worker in self.workers]

    def device_spans(self, slot: int, begin_ns: int) -> list[Span]:
        """Return the device's spans of a frame that was read; none unless they are measured."""
        spans = [span for worker in self.workers for span in worker.device_spans(slot, begin_ns)]
        return spans if self.joint is None else spans + self.joint.device_spans(slot, begin_ns)

    def close(self) -> None:
        """Free it all."""
        if self.joint is not None:  # it reads what the workers own
            self.joint.close()
        while self.workers:  # the first one owns the page-locked frames and goes last
            self.workers.pop().close()
