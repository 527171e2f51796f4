"""Two decoders of one file give what one gives, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.clips import clip, number
from tests.data.test_packets import StandIn
from yolotrt.data import side_by_side
from yolotrt.data.packets import GpuFrame, OnGpu
from yolotrt.data.side_by_side import SideBySide
from yolotrt.data.video_file import Moment, VideoFile
from yolotrt.data.yuv import YuvFrame, on_host
from yolotrt.errors import DeviceError

GROUPS = {"bf": "2", "g": "6", "sc_threshold": "0"}


class Restarting(StandIn):
    """Takes packets again after an end, as NVDEC does."""

    def decode(self, packet: Any) -> Iterator[GpuFrame]:
        yield from super().decode(packet)
        if packet is None:
            self._decoder.flush_buffers()


def decoded(path: Path, new: Callable[[], Any]) -> list[tuple[int, Moment]]:
    video = VideoFile(path, OnGpu(new, required=True))
    found = []
    for one in video.frames():
        assert isinstance(one.image, YuvFrame)
        found.append((number(on_host(one.image)), one.moment))
    assert video.remarks() == ()
    video.close()
    return found


class Watched(SideBySide):
    """Notes how many frames waited at most."""

    most = 0

    def _busy(self, last: bool) -> list[Any]:
        self.most = max(self.most, sum(len(group.frames) for group in self._groups))
        return super()._busy(last)


@pytest.mark.parametrize("ahead", [64, 4])
@pytest.mark.parametrize(
    ("name", "options", "both"),
    [
        ("v.mp4", GROUPS, True),
        ("v.ts", GROUPS, True),
        ("v.mkv", {**GROUPS, "bf": "0"}, True),
        ("v.mp4", {"bf": "2", "g": "100"}, False),
        ("v.mp4", {**GROUPS, "x264-params": "open-gop=1"}, False),
    ],
)
def test_frames_and_times_are_those_of_one_decoder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, str],
    both: bool,
    ahead: int,
) -> None:
    monkeypatch.setattr(side_by_side, "AHEAD", ahead)
    path = clip(tmp_path / name, 24, times_ms=[k * 40 + k % 3 * 7 for k in range(24)], options=options)
    made: list[Restarting] = []

    def new() -> Restarting:
        made.append(Restarting())
        return made[-1]

    pair = Watched(new, lambda _: True)
    right = decoded(path, Restarting)
    assert [n for n, _ in right] == list(range(24))
    assert decoded(path, lambda: pair) == right
    assert pair.most <= ahead + 4
    assert [gpu.closed for gpu in made] == [1, 1]
    assert all(gpu.packets > 10 for gpu in made) is both


def test_a_group_that_is_too_long_goes_on_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "WAITING", 5)
    path = clip(tmp_path / "v.mp4", 24, options={"bf": "0", "g": "18", "sc_threshold": "0"})
    assert [n for n, _ in decoded(path, lambda: SideBySide(Restarting, lambda _: True))] == list(range(24))


@pytest.mark.parametrize("damaged", [3, 7])
def test_a_damaged_packet_costs_no_other(tmp_path: Path, damaged: int) -> None:
    """Number 7 is the end of a group."""
    path = clip(tmp_path / "v.ts", 24, options={**GROUPS, "bf": "0"})
    made = [Restarting(damaged=damaged), Restarting()]
    video = VideoFile(path, OnGpu(lambda: SideBySide(lambda: made.pop(0), lambda _: True)))
    found = [number(on_host(one.image)) for one in video.frames()]
    assert found[-12:] == list(range(12, 24))
    assert len(found) in (22, 23, 24)
    assert "errors in 1 places" in video.remarks()[0]
    video.close()


def test_a_damaged_packet_behind_which_the_file_ends_costs_no_other(tmp_path: Path) -> None:
    """The long first group is decoded in part when the last packet comes."""
    path = clip(tmp_path / "v.ts", 24, options={"bf": "0", "g": "18", "sc_threshold": "0"})
    made = [Restarting(damaged=14), Restarting()]
    video = VideoFile(path, OnGpu(lambda: SideBySide(lambda: made.pop(0), lambda _: True)))
    found = [number(on_host(one.image)) for one in video.frames()]
    assert found[-6:] == list(range(18, 24))
    assert len(found) in (22, 23)
    assert "errors in 1 places" in video.remarks()[0]
    video.close()


@pytest.mark.parametrize("why", [None, "there is no other"])
def test_one_decoder_is_left_where_there_is_no_second(tmp_path: Path, why: str | None) -> None:
    made: list[Restarting] = []

    def new() -> Restarting:
        if made and why is None:
            raise DeviceError("No memory is left.")
        made.append(Restarting(why if made else None))
        return made[-1]

    path = clip(tmp_path / "v.mp4", 12, options=GROUPS)
    assert [n for n, _ in decoded(path, lambda: SideBySide(new, lambda _: True))] == list(range(12))
    assert [gpu.closed for gpu in made] == [1] * (1 if why is None else 2)


def test_one_decoder_is_left_where_two_do_not_help(tmp_path: Path) -> None:
    asked: list[int] = []
    made: list[Restarting] = []

    def new() -> Restarting:
        made.append(Restarting())
        return made[-1]

    def no(nbytes: int) -> bool:
        asked.append(nbytes)
        return False

    for codec in ("libx264", "mpeg4"):
        path = clip(tmp_path / "v.mp4", 5, codec=codec)
        assert len(decoded(path, lambda: SideBySide(new, no))) == 5
    assert asked == [side_by_side.AHEAD * 64 * 48 * 3 // 2]
    assert len(made) == 2
