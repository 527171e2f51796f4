"""Frames get the times of their packets, in whatever order those come and whichever are lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from tests.data.clips import clip
from yolotrt.data.shown import WINDOW, PacketTimes, ShownTimes


def packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def shown(coming: Sequence[av.Packet], delay: int = 4) -> list[int | None]:
    """Show each packet's frame so many packets later; the decoder tells wrong numbers."""
    times, found = ShownTimes(), []
    for place, packet in enumerate(coming):
        number = times.send(packet)
        if place >= delay:
            found.append(times.show(max(1, number - 3 + 2 * (number % 3))).pts)
    return found + [times.show(len(coming)).pts for _ in range(delay)]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_that_refer_to_later_ones(tmp_path: Path, codec: str) -> None:
    options = {"bf": "3", "b-pyramid": "1"} if codec == "libx264" else {"x265-params": "log-level=none"}
    coming = packets(clip(tmp_path / "v.mp4", 24, codec=codec, options=options))
    stamps = [packet.pts for packet in coming]
    assert stamps != sorted(stamps)
    assert shown(coming) == sorted(stamps)


def test_recordings_that_were_joined(tmp_path: Path) -> None:
    """Time stamps begin anew with the second one."""
    coming = packets(clip(tmp_path / "v.mp4", 12, options={"bf": "2"}))
    once = sorted(packet.pts for packet in coming)
    assert shown(coming * 2) == once * 2


def test_packets_without_a_frame_shift_the_others_for_a_while_only(tmp_path: Path) -> None:
    coming = packets(clip(tmp_path / "v.mp4", 3 * WINDOW, options={"bf": "0"}))
    times, found = ShownTimes(), {}
    for place, packet in enumerate(coming):
        number = times.send(packet)
        if place not in (5, 6):
            found[place] = times.show(max(1, number - 3 + 2 * (number % 4))).pts
    late = [place - [p.pts for p in coming].index(pts) for place, pts in found.items()]
    assert late[:5] == [0] * 5
    assert late[5 : WINDOW // 2] == [2] * (WINDOW // 2 - 5)
    assert late[-WINDOW:] == [0] * WINDOW


def test_more_frames_than_packets_have_no_times() -> None:
    assert ShownTimes().show(1) == PacketTimes()
