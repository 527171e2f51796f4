"""Several pipelines that share the sources of a run: all frames of a source go through one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from yolotrt.backends.placement import require_device
from yolotrt.data.feeds import Feeds
from yolotrt.data.queued import FeedCounts, Queued
from yolotrt.errors import UsageError

Deal = Literal["auto", "tiles", "sources", "batches"]
DEALS: tuple[Deal, ...] = ("auto", "tiles", "sources", "batches")
"""What is dealt out to several GPUs: the tiles of every frame, or the sources, each with all its frames. On a
processor: the batches of one engine, to several sources."""

P = TypeVar("P")


def lanes_of(device: str, sources: int, deal: Deal = "auto") -> list[str]:
    """Return the device of each pipeline; source k of a run goes through pipeline k modulo their number.

    With more GPUs than sources, the tiles of a source's frames are dealt out to the GPUs that it has.

    Args:
        device: As in :func:`yolotrt.backends.placement.place`.
        sources: How many there are.
        deal: ``auto`` deals out sources where there are several.

    Raises:
        UsageError: The words are no device, or there is nothing to deal out.
    """
    gpus = require_device(device) or ()
    if deal == "batches":
        if sources < 2:
            raise UsageError(
                "--deal batches wants several sources.", hint="Like this: --source a.mp4 --source b.mp4"
            )
        return [device] * sources
    lanes = min(len(gpus), sources)
    if deal == "sources" and lanes < 2:
        raise UsageError(
            f"--deal sources wants several sources and several GPUs, not {sources} on {device}.",
            hint="Like this: --source a.mp4 --source b.mp4 --device cuda:0,1",
        )
    if deal == "tiles" or lanes < 2:
        return [device]
    return [f"cuda:{','.join(map(str, gpus[lane::lanes]))}" for lane in range(lanes)]


class LaneFeed:
    """The frames of some sources, for the thread that runs their pipeline.

    Args:
        feeds: All sources.
        places: Which of them.
        stop: When it is set, no more frames come.
    """

    def __init__(self, feeds: Feeds, places: Sequence[int], stop: threading.Event) -> None:
        self._feeds, self._places, self._stop = feeds, places, stop
        self.parts = tuple(feeds.parts[place] for place in places)

    @property
    def counts(self) -> FeedCounts:
        """What all sources have seen together."""
        return self._feeds.counts

    @property
    def ended(self) -> bool:
        """Whether no more frames will come."""
        return self._stop.is_set() or all(part.ended for part in self.parts)

    def get(self, timeout_s: float) -> Queued | None:
        """Return the next frame, or None; see :meth:`yolotrt.data.feeds.Feeds.get`."""
        return None if self._stop.is_set() else self._feeds.get(timeout_s, self._places)

    def also_waiting(self, but: Queued, most: int) -> list[Queued]:
        """Return frames of others that wait just now; see :meth:`yolotrt.data.feeds.Feeds.also_waiting`."""
        return self._feeds.also_waiting(but, most, self._places)


def in_lanes(
    pipelines: Sequence[P],
    feeds: Feeds,
    process: Callable[[P, LaneFeed], None],
    watch: Callable[[], None],
    every_s: float,
) -> None:
    """Run each pipeline in a thread, with the sources whose turn it is, until all have ended.

    Args:
        pipelines: What processes the frames.
        feeds: The sources.
        process: Processes the frames of one feed with one pipeline until it ends.
        watch: Called now and then meanwhile, by the calling thread.
        every_s: How often.

    Raises:
        BaseException: The first failure of a thread, when all have ended.
    """
    stop, ended = threading.Event(), threading.Semaphore(0)
    failures: list[BaseException] = []

    def run(lane: int) -> None:
        try:
            places = range(lane, len(feeds.parts), len(pipelines))
            process(pipelines[lane], LaneFeed(feeds, places, stop))
        except BaseException as exc:  # raised again where the run was started
            failures.append(exc)
            stop.set()
        finally:
            ended.release()

    threads = [
        threading.Thread(target=run, args=(lane,), name="yolotrt-lane") for lane in range(len(pipelines))
    ]
    try:
        for thread in threads:
            thread.start()
        left = len(threads)
        while left:
            if ended.acquire(timeout=every_s):
                left -= 1
            else:
                watch()
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if failures:
        raise failures[0]
