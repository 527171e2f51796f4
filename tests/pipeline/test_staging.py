"""Copying frames into page-locked memory: all rows, in order, by any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from yolotrt.pipeline.device import opencv_copy, staging
from yolotrt.pipeline.device.opencv_copy import OpenCvCopy
from yolotrt.pipeline.device.staging import Staging


@pytest.fixture(autouse=True)
def _any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_COPY_ALONE", 0)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("of_opencv", [1, 8])
@pytest.mark.parametrize("height", [1, 7, 100])
def test_rows_are_there_when_they_are_told_of(
    threads: int, of_opencv: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "getNumThreads", lambda: of_opencv)
    frame = np.random.default_rng(0).integers(0, 256, (height, 9, 3), np.uint8)
    target, told = np.full_like(frame, 77), []

    def arrived(first: int, end: int) -> None:
        np.testing.assert_array_equal(target[:end], frame[:end])
        told.append((first, end))

    copier = Staging(threads)
    copier.run(frame, target, sorted({max(1, height // 3), height}), arrived)
    copier.close()
    assert told[0][0] == 0
    assert told[-1][1] == height
    assert all(a[1] == b[0] for a, b in pairwise(told))


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a part of a larger picture": lambda whole: whole[10:90, 20:70],
    "upside down": lambda whole: whole[::-1],
    "RGB": lambda whole: whole[..., ::-1],
    "every other column": lambda whole: whole[:, ::2],
    "planes": lambda whole: np.ascontiguousarray(whole.transpose(2, 0, 1)).transpose(1, 2, 0),
    "the same row again and again": lambda whole: np.broadcast_to(whole[:1], whole.shape),
    "read-only": lambda whole: np.frombuffer(whole.tobytes(), np.uint8).reshape(whole.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_frame_is_copied_however_it_lies(
    layout: Callable[[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 8)
    frame = layout(np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8))
    target = np.full(frame.shape, 77, np.uint8)
    copier = Staging(2)
    copier.run(frame, target, [len(frame)], lambda *_: None)
    copier.close()
    np.testing.assert_array_equal(target, frame)


@pytest.mark.parametrize(
    ("of_opencv", "busy", "used"), [(1, False, False), (2, False, True), (2, True, False)]
)
def test_opencv_copies_where_it_has_as_many_threads_and_nobody_else_has_them(
    of_opencv: int, busy: bool, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "getNumThreads", lambda: of_opencv)
    threshold, calls = cv2.threshold, []

    def seen(*given: Any) -> Any:
        calls.append(given)
        return threshold(*given)

    monkeypatch.setattr(cv2, "threshold", seen)
    target = np.zeros((100, 9, 3), np.uint8)
    with opencv_copy._ONE_AT_A_TIME if busy else nullcontext():
        copier = Staging(2)
        copier.run(np.ones((100, 9, 3), np.uint8), target, [100], lambda *_: None)
        copier.close()
    assert bool(calls) is used
    assert target.all()


@pytest.mark.parametrize(("spent_ns", "calls"), [(300_000, 4), (302_000, 2)])
def test_what_opencv_copies_with_one_thread_is_left_to_ours(
    spent_ns: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first band says what to expect, 1 us; the second is too late or not."""
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 2)
    ticks = iter([0, 1_000, 1_000, 1_000 + spent_ns, *[10_000_000] * 4])
    read: list[int] = []

    def clock() -> int:
        read.append(next(ticks))
        return read[-1]

    monkeypatch.setattr(staging, "OpenCvCopy", lambda threads: OpenCvCopy(threads, clock))
    frame = np.random.default_rng(0).integers(0, 256, (100, 9, 3), np.uint8)
    target, told = np.full_like(frame, 77), []
    copier = Staging(2)
    copier.run(frame, target, [100], lambda first, end: told.append((first, end)))
    copier.close()
    np.testing.assert_array_equal(target, frame)
    assert told[0][0] == 0
    assert told[-1][1] == 100
    assert all(a[1] == b[0] for a, b in pairwise(told))
    assert len(read) == 2 * calls


def test_a_frame_that_lies_in_place_is_told_of_as_work_needs_it() -> None:
    frame, told = np.zeros((100, 9, 3), np.uint8), []
    copier = Staging(2)
    copier.run(frame, frame, [64, 100], lambda first, end: told.append((first, end)))
    copier.close()
    assert told == [(0, 64), (64, 100)]


def test_a_frame_that_lies_in_place_the_other_way_round_is_copied() -> None:
    target = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    turned = target.transpose(1, 0, 2)
    wanted = turned.copy()
    copier = Staging(2)
    copier.run(turned, target, [20], lambda *_: None)
    copier.close()
    np.testing.assert_array_equal(target, wanted)


@pytest.mark.parametrize("where", ["copy", "arrived"])
def test_a_failure_leaves_no_thread_writing(where: str) -> None:
    frame = np.ones((100, 9, 3), np.uint8)
    target = np.zeros((100, 8 if where == "copy" else 9, 3), np.uint8)

    def arrived(first: int, end: int) -> None:
        raise RuntimeError("no")

    copier = Staging(3)
    with pytest.raises(ValueError if where == "copy" else RuntimeError):
        copier.run(frame, target, [100], arrived)
    copier.close()
