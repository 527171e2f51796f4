"""TensorRT's progress, passed on, and the way to cancel a build."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from yolotrt.progress import Progress

if TYPE_CHECKING:
    import tensorrt as trt

MIN_STEPS = 10
"""Shorter phases are over before anyone could read their name; the outermost one is always shown."""


class BuildProgress:
    """What the monitor tells and asks. TensorRT calls it from its own threads.

    Attributes:
        failure: What a listener raised; the build is cancelled, and its caller raises it again.
    """

    def __init__(self, progress: Progress) -> None:
        self.failure: BaseException | None = None
        self._progress = progress
        self._steps: dict[str, int] = {}
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether TensorRT is to stop."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Make TensorRT stop at its next step."""
        self._cancelled.set()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Note that a phase of so many steps has started."""
        if parent is None or steps >= MIN_STEPS:
            self._steps[phase] = steps
            self._tell(phase, 0)

    def step(self, phase: str, step: int) -> bool:
        """Note that a step is done; return whether to go on."""
        self._tell(phase, step + 1)
        return not self._cancelled.is_set()

    def finish(self, phase: str) -> None:
        """Note that a phase is over, perhaps before its last step."""
        self._tell(phase, self._steps.get(phase, 0))
        self._steps.pop(phase, None)

    def _tell(self, phase: str, done: int) -> None:
        """Pass progress on; an exception must not travel through TensorRT's own frames."""
        if phase not in self._steps:
            return
        try:
            self._progress(phase.lower(), min(done, self._steps[phase]), self._steps[phase])
        except BaseException as exc:
            self.failure = self.failure or exc
            self.cancel()


def new_monitor(api: Any, progress: BuildProgress) -> trt.IProgressMonitor:
    """Return a TensorRT progress monitor that talks to ``progress``."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
