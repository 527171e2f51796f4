"""The frames of one camera on a GPU, of which only chosen tiles are looked at.

How that is done there is in ``pipeline/device/choosing.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from yolotrt.arrays import Frame
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.choosing import Chooser, Chosen, Reason
from yolotrt.pipeline.device.choosing import ChoosingWorker
from yolotrt.pipeline.device.found import FrameFound
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.device.staging import Staging, copy_threads
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import FrameTrace


class DeviceCamera:
    """Looks at the frames of one camera.

    What depends on the last frame's objects is worked out while the next one's first rows are on their way.

    Args:
        gpu: The GPU and its engines.
        grid: The tiles.
        settings: How frames are run.
        chooser: Chooses.
    """

    def __init__(self, gpu: Gpu, grid: TileGrid, settings: PipelineSettings, chooser: Chooser) -> None:
        self._grid, self._settings, self._chooser = grid, settings, chooser
        self._staging = Staging(copy_threads())
        self._last: Sequence[int] | None = None
        self._again = False
        try:
            self._worker = ChoosingWorker(gpu, grid, settings, self._staging)
        except BaseException:
            self._staging.close()
            raise

    @property
    def frame_buffer(self) -> Frame:
        """The page-locked memory that the next frame is uploaded from."""
        return self._worker.frame.array

    def run(self, frame: Frame, trace: FrameTrace) -> tuple[Chosen, FrameFound, Detections]:
        """Return which tiles were looked at, what is known of all, and the merged detections."""
        worker, chooser = self._worker, self._chooser
        with trace.span("prepare_batch"):
            worker.look(frame)
            self._settle()
            worker.arrived()
        with trace.span("decide"):
            chosen = chooser.choose(worker.motion())
        with trace.span("enqueue"):
            if chosen.all:
                worker.start_all(frame)
            else:
                worker.start(frame, list(chosen.reasons))
        with trace.span("stream_sync"):
            worker.drawn()
        with trace.span("decode"):
            found, all_of_them = worker.found(frame)
        if all_of_them:
            every: dict[int, Reason] = dict.fromkeys(range(chosen.tiles), "all")
            chosen = replace(chosen, reasons=every | chosen.reasons)
        self._last = list(chosen.reasons)
        merged = found.merged
        if merged is None:
            with trace.span("merge"):
                merged = found.merge(self._grid, self._settings.merge, conf=self._settings.decode.conf)
        return chosen, found, merged

    def close(self) -> None:
        """Free everything."""
        self._worker.close()
        self._staging.close()

    def _settle(self) -> None:
        """Tell the chooser what the last frame's looks found."""
        if self._last is not None:
            unsettled, news = self._worker.told()
            self._chooser.told(self._last, unsettled, news if self._again else ())
            self._last, self._again = None, True
