"""Results that are handed on in threads: rules for what is too slow and for what fails."""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.data.clips import WH, number, shade
from yolotrt.data.video_file import Moment, VideoFile
from yolotrt.geometry.detections import Detections
from yolotrt.workflow.identity import own_ids
from yolotrt.workflow.outlets import Opening, Outlet, SeenFrame, function_output, line_output, video_output


def seen(index: int, time_s: float | None = None) -> SeenFrame:
    moment = Moment(index, index / 25 if time_s is None else time_s, None)
    return SeenFrame(
        name=f"cam#{index}", frame_wh=WH, detections=Detections.empty(), names=("a",), moment=moment,
        source="cam", pixels=shade(index), read_at=1e9,
    )  # fmt: skip


def outlet(
    opening: Opening[SeenFrame], *, capacity: int = 2, lossless: bool = False
) -> tuple[Outlet[SeenFrame], list[str]]:
    said: list[str] = []
    return Outlet("it", opening, capacity=capacity, lossless=lossless, warn=said.append), said


class Slow:
    """Takes a result when it is let."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, found: SeenFrame) -> None:
        self.begun.set()
        assert self.go.wait(20)
        assert found.moment is not None
        self.taken.append(found.moment.index)


def test_what_a_slow_target_cannot_take_is_dropped_counted_and_said_once() -> None:
    slow = Slow()
    made, said = outlet(function_output(slow))
    made.put(seen(0))
    assert slow.begun.wait(20)
    for index in range(1, 8):
        made.put(seen(index))
    slow.go.set()
    made.close()
    assert slow.taken == [0, 1, 2], "those that waited first"
    assert (made.delivery.written, made.delivery.dropped, made.delivery.complaint) == (3, 5, None)
    assert said == ["it is slower than the frames come: results are dropped, and counted."]


def test_a_source_that_loses_nothing_waits() -> None:
    slow = Slow()
    made, said = outlet(function_output(slow), lossless=True)
    putting = threading.Thread(target=lambda: all(made.put(seen(k)) is None for k in range(8)))
    putting.start()
    assert slow.begun.wait(20)
    slow.go.set()
    putting.join(20)
    made.close()
    assert slow.taken == list(range(8))
    assert (made.delivery.dropped, said) == (0, [])


@pytest.mark.parametrize("lossless", [True, False])
def test_a_function_that_fails_is_called_no_more_and_the_place_is_said(lossless: bool) -> None:
    def broken(found: SeenFrame) -> None:
        raise KeyError(found.source)

    made, said = outlet(function_output(broken), lossless=lossless)
    for index in range(5):
        made.put(seen(index))
    made.close()
    assert (made.delivery.written, made.delivery.dropped) == (0, 5)
    (words,) = [line for line in said if "takes no more" in line]
    assert "KeyError: 'cam' (test_outlets.py, line " in words


def test_what_takes_nothing_at_the_end_is_given_up() -> None:
    slow = Slow()
    made, said = outlet(function_output(slow))
    made.put(seen(0))
    assert slow.begun.wait(20)
    made.put(seen(1))
    made.close(patience_s=0.02)
    assert "took nothing for 0.02 s" in (made.delivery.complaint or "")
    assert made.delivery.dropped == 1
    assert len(said) == 1
    slow.go.set()


def test_a_full_disk_keeps_the_whole_lines_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real limit of a file's size is tried from the command line; here a disk is full within a line."""
    real, room = os.write, [700]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = real(descriptor, data[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr("yolotrt.workflow.outlets.os.write", write)
    made, said = outlet(line_output(str(tmp_path / "f.jsonl"), own_ids(("a",), None)), lossless=True)
    for index in range(9):
        made.put(seen(index))
    made.close()
    lines = (tmp_path / "f.jsonl").read_text().splitlines()
    assert len(lines) == made.delivery.written >= 3
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert made.delivery.written + made.delivery.dropped == 9
    assert "the disk is full" in said[0]


def test_a_film_has_the_times_of_its_frames_and_the_size_of_the_first(tmp_path: Path) -> None:
    times = [0, 0.033, 0.4, 3.0]
    made, said = outlet(video_output(tmp_path / "f.mp4", 25, lambda frame, _: frame), lossless=True)
    for index, time_s in enumerate(times):
        made.put(seen(index, time_s))
    assert not (tmp_path / "f.mp4").exists(), "it is complete or not there"
    made.close()
    with closing(VideoFile(tmp_path / "f.mp4")) as video:
        found = list(video.frames())
    assert [round(frame.moment.time_s, 3) for frame in found] == times
    assert [number(frame.image) for frame in found] == [0, 1, 2, 3]
    assert said == []


def test_a_run_without_frames_makes_no_film(tmp_path: Path) -> None:
    made, said = outlet(video_output(tmp_path / "f.mp4", 25, lambda frame, _: frame))
    made.close()
    assert list(tmp_path.iterdir()) == []
    assert (made.delivery.complaint, said) == (None, [])


@pytest.mark.parametrize("begun", [True, False], ids=["which waits already", "which comes then"])
def test_a_run_that_is_to_end_waits_no_longer_for_what_takes_nothing(begun: bool) -> None:
    slow = Slow()
    made, said = outlet(function_output(slow), lossless=True, capacity=1)
    made.put(seen(0))
    assert slow.begun.wait(20)
    made.put(seen(1))
    if not begun:
        made.hurry(0.05)
    waiting = threading.Thread(target=lambda: [made.put(seen(index)) for index in (2, 3)])
    waiting.start()
    if begun:
        waiting.join(0.1)
        assert waiting.is_alive(), "the run waits for it"
        made.hurry(0.05)
    waiting.join(20)
    assert not waiting.is_alive()
    assert said == ["it takes no more results: took nothing for 0.05 s at the end of the run"]
    slow.go.set()
    made.close()
    assert (made.delivery.written, made.delivery.dropped) == (1, 3)


def test_a_reader_that_has_gone_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        made, said = outlet(line_output("-", own_ids(("a",), None)), lossless=True)

        def until_the_end() -> None:
            for index in range(9):
                made.put(seen(index))

        with pytest.raises(BrokenPipeError):
            until_the_end()
        made.close()
    assert said == [], "nothing is wrong"


def test_a_connection_of_the_user_s_own_that_breaks_is_a_complaint() -> None:
    def check(_: SeenFrame) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    made, said = outlet(function_output(check), lossless=True)
    for index in range(4):
        made.put(seen(index))
    made.close()
    assert said == ["it takes no more results: Broken pipe"]
    assert made.delivery.dropped == 4


def test_a_drawing_that_is_no_picture_is_a_complaint(tmp_path: Path) -> None:
    made, said = outlet(video_output(tmp_path / "f.mp4", 25, lambda *_: np.zeros(3, np.uint8)))
    made.put(seen(0))
    made.close()
    assert made.delivery.complaint
    assert len(said) == 1
