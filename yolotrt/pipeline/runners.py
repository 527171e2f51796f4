"""What an adaptive pipeline has its frames processed by, and what makes it on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from yolotrt.arrays import Frame
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.choosing import Chooser, Chosen
from yolotrt.pipeline.flights import Pending
from yolotrt.pipeline.frames import Unmerged
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import FrameTrace

if TYPE_CHECKING:
    from yolotrt.pipeline.device.share import Gpu


class Runner(Protocol):
    """A plain pipeline."""

    def submit(self, frame: Any) -> Pending:
        """Take a frame."""
        ...

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make what frames of a size need."""
        ...

    def close(self) -> None:
        """Free what was made."""
        ...


class OneCamera(Protocol):
    """One camera whose tiles are chosen where its frames are processed."""

    @property
    def frame_buffer(self) -> Frame:
        """Memory from which the next frame is uploaded without a copy."""
        ...

    def run(self, frame: Frame, trace: FrameTrace) -> tuple[Chosen, Unmerged, Detections]:
        """Return which tiles were looked at, what is known of all, and the merged detections."""
        ...

    def close(self) -> None:
        """Free what was made."""
        ...


NewCamera = Callable[[TileGrid, Chooser, PipelineSettings], OneCamera]


def cameras_on(gpus: Sequence[Gpu], settings: PipelineSettings) -> NewCamera | None:
    """Return what makes a camera's part on one GPU; None where tiles have to be chosen on the host."""
    if len(gpus) != 1 or settings.decode.multi_label:
        return None

    def camera(grid: TileGrid, chooser: Chooser, settings: PipelineSettings) -> OneCamera:
        from yolotrt.pipeline.device.camera import DeviceCamera

        return DeviceCamera(gpus[0].taking_turns(), grid, settings, chooser)

    return camera
