"""Reading moving sources: real videos and real local streams where ffmpeg is, scripted sources elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.data.clips import clip
from tests.data.streams import Camera, RtspCamera, TcpCamera, ffmpeg, needs_ffmpeg
from yolotrt.arrays import Frame
from yolotrt.data.feed import DropPolicy, Feed
from yolotrt.data.video import MovingSource, moving_sources
from yolotrt.errors import ImageError, InputError


def moving_source(text: str, timeout_s: float = 5.0) -> MovingSource:
    (source,) = moving_sources(text, timeout_s=timeout_s)
    return source


class Script:
    """A source that does what it is told: frames, None for an interruption, an error to raise."""

    name, fps, moment = "script", None, None

    def __init__(self, steps: Sequence[object], *, live: bool = False) -> None:
        self.live, self._steps, self.opened, self.closed = live, iter(steps), 0, False

    def open(self) -> None:
        self.opened += 1
        if self.opened == 2:
            raise InputError("not yet back")

    def read(self) -> Frame | None:
        step = next(self._steps, None)
        if isinstance(step, Exception):
            raise step
        return step  # type: ignore[return-value]

    def close(self) -> None:
        self.closed = True

    def remarks(self) -> tuple[str, ...]:
        return ()


def _frame(value: int = 0, wh: tuple[int, int] = (8, 6)) -> Frame:
    return np.full((wh[1], wh[0], 3), value, np.uint8)


def _all(feed: Feed) -> list[int]:
    found = []
    while (queued := feed.get(0.5)) is not None or not feed.ended:
        if queued is not None:
            found.append(int(queued.frame[0, 0, 0]))
    return found


def test_blocking_loses_nothing_and_keeps_the_order() -> None:
    source = Script([_frame(i) for i in range(20)])
    feed = Feed(source, policy="block").start()
    assert _all(feed) == list(range(20))
    assert (feed.counts.read, feed.counts.dropped) == (20, 0)
    assert source.closed


def test_the_latest_frames_win_when_nobody_takes_them() -> None:
    feed = Feed(Script([_frame(i) for i in range(20)]), policy="latest", capacity=2).start()
    while not feed._ended:
        time.sleep(0.001)
    assert _all(feed) == [18, 19]
    assert feed.counts.dropped == 18


class Ticking(Script):
    """A live source whose frames come at given times, ms; after them it stays away."""

    def __init__(self, times_ms: Sequence[float]) -> None:
        super().__init__([], live=True)
        self.now_ns, self._times, self._value = 0, iter(times_ms), 0

    def read(self) -> Frame | None:
        if (time_ms := next(self._times, None)) is None:
            return None
        self.now_ns, self._value = round(time_ms * 1e6), self._value + 1
        return _frame(self._value)


def _taken(times_ms: Sequence[float], fps: float) -> tuple[list[int], Feed]:
    source = Ticking(times_ms)
    feed = Feed(source, policy="block", fps=fps, capacity=100, clock=lambda: source.now_ns).start()
    while not feed.counts.interruptions:
        time.sleep(0.001)
    feed.close()
    return _all(feed), feed


def test_a_live_source_is_read_to_its_newest_frame_and_thinned_out() -> None:
    found, feed = _taken([i * 1000 / 30 for i in range(30)], fps=10)
    assert found == [1, *range(3, 31, 3)]
    assert (feed.counts.read, feed.counts.skipped, feed.counts.dropped) == (11, 19, 0)


def test_a_camera_of_the_wanted_rate_loses_no_frame_to_jitter() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(100) * (1000 / 30) + rng.uniform(-8, 8, 100).clip(min=0)
    found, feed = _taken(times.tolist(), fps=30)
    assert (len(found), feed.counts.skipped) == (100, 0)


def test_a_live_source_is_opened_again_until_it_is_back() -> None:
    steps = [_frame(1), None, _frame(2, (4, 4)), None]
    source = Script(steps, live=True)
    feed = Feed(source, policy="block").start()
    found = [feed.get(5), feed.get(5)]
    assert [q and int(q.frame[0, 0, 0]) for q in found] == [1, 2]
    counts = feed.counts
    assert counts.interruptions >= 1
    assert counts.reconnects >= 1
    assert counts.sizes == ((8, 6), (4, 4))
    feed.close()
    assert feed.ended


@pytest.mark.parametrize("policy", ["latest", "block"])
def test_closing_ends_a_reader_that_waits(policy: DropPolicy) -> None:
    feed = Feed(Script([_frame()] * 100_000), policy=policy, fps=0.5).start()
    feed.get(5)
    begin = time.monotonic()
    feed.close()
    assert time.monotonic() - begin < 1.5
    assert not any(t.name == "yolotrt-reader" for t in threading.enumerate())


def test_what_goes_wrong_while_reading_reaches_whoever_takes_the_frames() -> None:
    feed = Feed(Script([_frame(1), ImageError("broken")]), policy="block").start()
    assert feed.get(5) is not None
    with pytest.raises(ImageError, match="broken"):
        _all(feed)


def test_reading_is_paced() -> None:
    feed = Feed(Script([_frame()] * 7), policy="block", fps=50).start()
    begin = time.monotonic()
    _all(feed)
    assert time.monotonic() - begin >= 6 / 50


def test_a_folder_is_read_in_order_and_ends(tmp_path: Path) -> None:
    import cv2

    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), _frame(index * 10))
    source = moving_source(str(tmp_path))
    assert not source.live
    assert _all(Feed(source, policy="latest", capacity=3).start()) == [0, 10, 20]


@pytest.mark.parametrize("name", ["none.mp4", "/none/at/all"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not exist"):
        moving_source(name)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("no video")
    with pytest.raises(InputError, match="cannot be opened"):
        Feed(moving_source(str(path))).start()


def test_passwords_stay_out_of_messages() -> None:
    source = moving_source("rtsp://user:secret@127.0.0.1:1/main", timeout_s=0.2)
    assert source.live
    with pytest.raises(InputError) as caught:
        source.open()
    assert "secret" not in caught.value.message + (caught.value.hint or "")
    assert "127.0.0.1:1/main" in caught.value.message


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    ffmpeg("-t", "1", *_ENCODE, str(path)).wait(30)
    return path


_ENCODE = ("-c:v", "mpeg4", "-pix_fmt", "yuv420p")


@needs_ffmpeg
def test_a_video_is_read_at_its_own_rate_or_as_fast_as_it_is_taken(video: Path) -> None:
    def as_fast_as_taken() -> float:
        source = moving_source(str(video))
        begin = time.monotonic()
        feed = Feed(source, policy="block").start()
        assert len(_all(feed)) == 25
        assert feed.counts.sizes == ((160, 128),)
        assert source.fps == 25
        return time.monotonic() - begin

    begin = time.monotonic()
    assert len(_all(Feed(moving_source(str(video)), policy="latest").start())) > 15
    own_rate = time.monotonic() - begin
    assert own_rate > 0.85
    # A busy machine may take as long for one; it is not paced, so one of several is faster.
    assert min(as_fast_as_taken() for _ in range(5)) < own_rate


def test_a_video_of_a_variable_rate_is_read_at_its_own_times(tmp_path: Path) -> None:
    source = moving_source(str(clip(tmp_path / "v.mkv", 4, times_ms=[0, 20, 500, 520])))
    feed, stamps = Feed(source, policy="latest", capacity=9).start(), []
    while (queued := feed.get(2)) is not None:
        stamps.append(queued.read_ns)
    gaps = np.diff(stamps) / 1e9
    assert len(gaps) == 3
    assert gaps[1] > 0.4
    assert max(gaps[0], gaps[2]) < 0.3


@needs_ffmpeg
def test_a_truncated_video_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "cut.ts"
    ffmpeg("-t", "1", "-c:v", "mpeg2video", str(path)).wait(30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(_all(Feed(moving_source(str(path)), policy="block").start())) < 25


@pytest.fixture(params=[TcpCamera, RtspCamera])
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Camera]:
    found: Camera = request.param(tmp_path)
    yield found
    found.off()


def _started(feed_of: Camera, timeout_s: float) -> Feed:
    for _ in range(600):
        try:
            return Feed(moving_source(feed_of.address, timeout_s=timeout_s)).start()
        except InputError:
            time.sleep(0.1)
    raise AssertionError("the local stream did not start")


def _wait_for_size(feed: Feed, size: tuple[int, int], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        queued = feed.get(0.2)
        if queued is not None and queued.frame.shape[1::-1] == size:
            return True
    return False


@needs_ffmpeg
def test_a_stream_that_stalls_ends_and_changes_size_is_survived(
    camera: Camera, capfd: pytest.CaptureFixture[str]
) -> None:
    camera.on("160x128")
    feed = _started(camera, timeout_s=1.0)
    try:
        assert _wait_for_size(feed, (160, 128))
        camera.stall()
        stalled = time.monotonic()
        while not feed.counts.interruptions and time.monotonic() < stalled + 10:
            feed.get(0.05)
        assert feed.counts.interruptions == 1
        assert time.monotonic() - stalled < 2.5, "a timeout of 1 s was not kept"
        camera.off()
        camera.on("320x240")
        assert _wait_for_size(feed, (320, 240))
        counts = feed.counts
        assert counts.reconnects >= 1
        assert counts.longest_gap_s >= 0.9
        assert counts.sizes == ((160, 128), (320, 240))
        if isinstance(camera, RtspCamera):
            assert camera.requests[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    finally:
        feed.close()
    assert "WARN" not in capfd.readouterr().err
