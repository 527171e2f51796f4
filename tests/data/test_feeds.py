"""Several sources at once: turns, and one that fails, stalls or is not there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.data.test_feed import Script
from yolotrt.arrays import Frame
from yolotrt.data.feeds import Feeds
from yolotrt.data.queued import Queued
from yolotrt.data.video_file import Moment
from yolotrt.errors import ImageError, InputError


def _frame(value: int) -> Frame:
    return np.full((6, 8, 3), value, np.uint8)


def _taken(feeds: Feeds) -> list[tuple[int, int]]:
    """Return source and value of each frame until the end."""
    found = []
    while (queued := feeds.get(0.2)) is not None or not feeds.ended:
        if queued is not None:
            found.append((queued.source, int(queued.frame[0, 0, 0])))
    return found


def test_sources_take_turns_however_many_frames_one_of_them_has() -> None:
    feeds = Feeds(
        [Script([_frame(k) for k in range(9)]), Script([_frame(k) for k in range(3)])], policy="block"
    )
    feeds.start()
    for part in feeds.parts:
        while not part.ended and len(part._queue) < 2:
            time.sleep(0.001)
    found = _taken(feeds)
    assert [source for source, _ in found[:4]] == [0, 1, 0, 1]
    assert [value for source, value in found if source == 0] == list(range(9))
    assert [value for source, value in found if source == 1] == list(range(3))
    assert (feeds.counts.read, feeds.counts.dropped, feeds.counts.sizes) == (12, 0, ((8, 6),))
    feeds.close()


def test_frames_that_wait_at_the_same_time_are_had_together() -> None:
    feeds = Feeds([Script([_frame(k), _frame(k)]) for k in range(4)], policy="block").start()
    for part in feeds.parts:
        while len(part._queue) < 2:
            time.sleep(0.001)
    first = feeds.get(1)
    assert first is not None
    assert [q.source for q in feeds.also_waiting(first, 2)] == [1, 2]
    assert [q.source for q in feeds.also_waiting(first, 9, (0, 1, 3))] == [3, 1]
    assert _taken(feeds) == [(0, 0), (2, 2), (3, 3)]
    feeds.close()


def test_one_that_cannot_be_read_hurts_none_of_the_others() -> None:
    said: list[str] = []
    steps: Sequence[object] = [_frame(0), ImageError("broken")]
    feeds = Feeds(
        [Script(steps), Script([_frame(k) for k in range(5)])], policy="block", warn=said.append
    ).start()
    assert sorted(_taken(feeds)) == [(0, 0), *((1, k) for k in range(5))]
    assert said == ["script is given up, the others go on: broken"]


def test_one_that_is_given_up_is_told_while_the_others_always_have_frames() -> None:
    said: list[str] = []
    busy = Script([_frame(k) for k in range(5)])
    feeds = Feeds([Script([ImageError("broken")]), busy], policy="block", warn=said.append).start()
    while not (feeds.parts[0].ended and feeds.parts[1].waiting):
        time.sleep(0.001)
    assert feeds.get(1) is not None
    assert said == ["script is given up, the others go on: broken"]
    feeds.close()
    assert str(feeds.parts[0].failure) == "broken"
    feeds.close()


def test_when_all_have_failed_the_first_failure_ends_it() -> None:
    feeds = Feeds([Script([ImageError("one")]), Script([ImageError("two")])], policy="block").start()
    with pytest.raises(ImageError, match="one"):
        _taken(feeds)
    feeds.close()


class Slow(Script):
    """A file whose first frame takes a while, as with a decoder that is made for it."""

    def read(self) -> Frame | None:
        if self.moment is None:
            time.sleep(0.1)
            self.moment = Moment(0, 0.0, None)
        return super().read()


def test_files_begin_together() -> None:
    slow, quick, failing = Slow([_frame(1)]), Script([_frame(2)]), Script([ImageError("broken")])
    feeds = Feeds([slow, quick, failing], policy="block").start()
    found = [queued for _ in range(2) if (queued := feeds.get(5)) is not None]
    assert {queued.source for queued in found} == {0, 1}
    assert abs(found[0].read_ns - found[1].read_ns) < 0.05e9
    feeds.close()


class Absent(Script):
    """What is not there."""

    def open(self) -> None:
        raise InputError("camera 7 cannot be opened.")


def test_a_camera_that_is_not_there_yet_holds_nobody_up() -> None:
    said: list[str] = []
    feeds = Feeds([Absent([], live=True), Script([_frame(1)])], policy="block", warn=said.append).start()
    queued = feeds.get(5)
    assert queued is not None
    assert queued.source == 1
    assert not feeds.ended, "the camera may come"
    feeds.close()
    assert said == ["camera 7 cannot be opened. It is tried again."]
    assert feeds.counts.interruptions == 1


class Late(Script):
    """Is there when it is tried again."""

    def open(self) -> None:
        self.opened += 1
        if self.opened == 1:
            raise InputError("camera 7 cannot be opened.")


def test_a_camera_that_came_meanwhile_is_not_nothing_because_another_is_never_there() -> None:
    began = threading.Event()

    class Silent(Absent):
        def open(self) -> None:
            assert began.wait(20)
            raise InputError("nothing came.")

    late = Late([_frame(1)] * 3, live=True)
    feeds = Feeds([late, Silent([], live=True)])
    threading.Thread(target=lambda: (_until(lambda: feeds.parts[0].waiting), began.set())).start()
    feeds.start()
    assert began.wait(20)
    _until(lambda: feeds.parts[1].opened is False)
    assert (queued := feeds.get(5)) is not None
    assert queued.source == 0
    assert [part.opened for part in feeds.parts] == [True, False]
    feeds.close()


def _until(true: Callable[[], object]) -> None:
    while not true():
        time.sleep(0.001)


@pytest.mark.parametrize("live", [True, False])
def test_nothing_that_can_be_opened_is_an_error(live: bool) -> None:
    with pytest.raises(InputError, match="camera 7"):
        Feeds([Absent([], live=live)] * 2).start()
    assert not any(t.name == "yolotrt-reader" for t in threading.enumerate())


def test_a_frame_that_waited_too_long_gives_way_to_a_newer_one_of_its_camera() -> None:
    class Clock:
        now_ns = 0

        def __call__(self) -> int:
            return self.now_ns

    clock = Clock()
    feeds = Feeds([Script([])], deadline_s=0.1, clock=clock)
    (feed,) = feeds.parts

    def wait(*values: int) -> None:
        for value in values:
            feed._see(_frame(value), 0)
            feed._put(Queued(_frame(value), clock.now_ns, feed._moment(clock.now_ns)))
            clock.now_ns += 80_000_000

    def taken() -> int:
        queued = feeds.get(0)
        assert queued is not None
        return int(queued.frame[0, 0, 0])

    wait(1, 2)
    assert taken() == 2, "the first is 160 ms old, and a newer one waits"
    clock.now_ns += 10**9
    wait(3)
    clock.now_ns += 10**9
    assert taken() == 3, "the only one is taken, however old it is"
    assert feeds.counts.dropped == 1
