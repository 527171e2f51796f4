"""Several pipelines on one engine that is fed from the host: images that wait together run as one batch.

Nobody waits for others to come: what waits while a batch runs makes the next one. With one camera, or as long
as the engine keeps up, each frame goes at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.base import Context, Engine
from yolotrt.backends.loading import open_engine
from yolotrt.errors import UsageError
from yolotrt.pipeline.chunks import MOST_AT_ONCE, in_batches
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.called import CalledEngine
from yolotrt.timing.clock import Clock, now, seconds_between

_NEW = 0.2
"""Weight of the newest batch in the time that an image is taken to need."""


@dataclass
class _Asked:
    """Images of one pipeline.

    Attributes:
        images: (n, 3, h, w).
        since_ns: When they began to wait.
        found: Head and prototypes of each, when they have run.
        failure: Why they have not.
    """

    images: F32
    since_ns: int
    found: tuple[F32, F32] | None = None
    failure: BaseException | None = None


class SharedBatches:
    """Runs what several pipelines ask for; one batch at a time, in the order of asking.

    Args:
        engine: Runs the batches; its contexts take images from the host.
        threads: Of the processor, for each batch.
        deadline_s: No images are taken into a batch that would probably end later than so many seconds after
            the first of them began to wait; None leaves the size to the engine.
        clock: What is read for that.

    Attributes:
        images: How many have run.
        batches: In how many batches.

    Raises:
        UsageError: The engine reads frames on GPUs.
    """

    def __init__(
        self, engine: Engine, *, threads: int = 1, deadline_s: float | None = None, clock: Clock = now
    ) -> None:
        if engine.parts:
            raise UsageError(
                "Sources share batches on a processor only: on a GPU each frame is prepared in place.",
                hint="Leave out --deal batches.",
            )
        self.images = self.batches = 0
        self._engine, self._threads, self._deadline_s, self._clock = engine, threads, deadline_s, clock
        self._waiting: deque[_Asked] = deque()
        self._turn = threading.Lock()
        self._contexts: dict[int, Context] = {}
        self._each_s: float | None = None
        self._accepted = engine.file.takes
        self._most = max(self._accepted, default=MOST_AT_ONCE)

    def seat(self) -> CalledEngine:
        """Return the engine as one of the pipelines sees it."""
        return CalledEngine(self._engine.file, self._call)

    def _call(self, images: F32) -> tuple[F32, F32]:
        """Run images, with those of others that wait; called in the thread of a pipeline.

        Raises:
            ExecutionError: The engine failed.
        """
        asked = _Asked(images, self._clock())
        self._waiting.append(asked)
        while True:
            with self._turn:  # whoever has it runs what waits, also for others
                if asked.failure is not None:
                    raise asked.failure
                if asked.found is not None:
                    return asked.found
                self._run(self._taken())

    def _taken(self) -> list[_Asked]:
        """Take the images that have waited longest, and as many others as fit into one batch and the time."""
        waited_s = seconds_between(self._waiting[0].since_ns, self._clock())
        most, total = 1, 0
        for count, asked in enumerate(tuple(self._waiting), 1):  # others ask meanwhile
            total += len(asked.images)
            late = (
                self._deadline_s is not None and waited_s + total * (self._each_s or 0.0) > self._deadline_s
            )
            if total > self._most or late:
                break
            if not self._accepted or total in self._accepted:
                most = count
        return [self._waiting.popleft() for _ in range(most)]

    def _run(self, taken: Sequence[_Asked]) -> None:
        begin = self._clock()
        images = [(asked, index) for asked in taken for index in range(len(asked.images))]
        parts: dict[int, list[tuple[Any, Any]]] = {id(asked): [] for asked in taken}
        try:
            for part in in_batches(range(len(images)), self._engine.file):
                context = self._context(len(part))
                for place, k in enumerate(part):
                    asked, index = images[k]
                    context.images[place] = asked.images[index]
                head, prototypes = context.run()
                for place, k in enumerate(part):
                    parts[id(images[k][0])].append((head[place].copy(), prototypes[place].copy()))
                self.batches += 1
        except BaseException as exc:  # raised again in the thread of each
            for asked in taken:
                asked.failure = exc
            return
        for asked in taken:
            asked.found = _stacked(parts[id(asked)])
        self.images += len(images)
        each_s = seconds_between(begin, self._clock()) / len(images)
        self._each_s = each_s if self._each_s is None else self._each_s + _NEW * (each_s - self._each_s)

    def _context(self, size: int) -> Context:
        if size not in self._contexts:
            self._contexts[size] = self._engine.new_context(size, threads=self._threads)
        return self._contexts[size]


def _stacked(found: Sequence[tuple[Any, Any]]) -> tuple[F32, F32]:
    return np.stack([head for head, _ in found]), np.stack([prototypes for _, prototypes in found])


@contextmanager
def sharing_pipelines(
    engine: Path,
    count: int,
    settings: PipelineSettings,
    *,
    global_engine: Path | None = None,
    device: str = "auto",
    deadline_s: float | None = None,
    trust: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[list[TiledPipeline]]:
    """Give so many pipelines, each for a thread of its own, on one engine.

    Args:
        engine: The engine's file.
        count: How many.
        settings: How each cuts, decodes and merges frames.
        global_engine: Another engine for the global pass.
        device: See :meth:`yolotrt.pipeline.tiled.TiledPipeline.open`, as the others.
        deadline_s: See :class:`SharedBatches`.
        trust: Also load what nothing vouches for.
        warn: Told when that was needed.
        tell: Told at the end how large the batches were.

    Raises:
        YoloTrtError: An engine cannot be loaded, or is on a GPU.
    """
    with ExitStack() as owned:
        shared = []
        for path in (engine, global_engine):
            if path is not None:
                loaded = open_engine(path, device, trust=trust, warn=warn)
                owned.callback(loaded.close)
                shared.append(SharedBatches(loaded, threads=settings.cpu_threads, deadline_s=deadline_s))
        first, last = shared[0], shared[-1]
        yield [
            owned.enter_context(TiledPipeline(first.seat(), settings, global_engine=last.seat()))
            for _ in range(count)
        ]
        for one in shared:
            if one.batches:
                each = one.images / one.batches
                tell(f"{one.images} images ran in {one.batches} batches, {each:.1f} in each")
