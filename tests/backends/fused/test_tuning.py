"""What earlier timings are used for, without a GPU: timing itself is told what it would have measured."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.test_planner import planned
from yolotrt.backends.fused.frame_stem import every_step
from yolotrt.backends.fused.tiles import Tile
from yolotrt.backends.fused.timings import Timed, Timings, timings_beside
from yolotrt.backends.fused.tuning import MOST_ROUNDS, GpuTuner, graph_seconds
from yolotrt.backends.timings_file import DOCUMENT
from yolotrt.errors import CacheWarning
from yolotrt.progress import no_progress


def test_timings_are_used_again_unless_they_are_to_be_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = planned(yolo(Shape(size=32)))
    offered: list[int] = []

    def measured(_: Any, __: Any, ___: Any, options: list[list[Tile]], ____: Any) -> list[Timed]:
        offered.append(sum(map(len, options)))
        return [Timed(tiles[-1], 1.0) for tiles in options]

    monkeypatch.setattr(GpuTuner, "_round", measured)
    device: Any = SimpleNamespace(info=SimpleNamespace(name="Some GPU", arch="sm_90"))
    steps = len(every_step(network))

    def tune(*, fresh: bool) -> tuple[list[Tile], list[int]]:
        offered.clear()
        found = GpuTuner(device, tmp_path / "t.json", "a compiler", fresh=fresh).tune(
            network, [1], no_progress
        )
        return found["sm_90", 1], list(offered)

    first, asked = tune(fresh=False)
    assert len(first) == steps
    assert min(asked) > steps
    again, asked = tune(fresh=False)
    assert again == first
    assert asked == [], "what is known is neither compiled nor timed"
    _, asked = tune(fresh=True)
    assert min(asked) > steps


TILE = Tile(64, 32)


def test_builds_side_by_side_add_to_one_document(tmp_path: Path) -> None:
    path = timings_beside(tmp_path / "timing.cache")
    assert path.name == "timing.fused.json"
    one, other = Timings(path, "GPU a"), Timings(path, "GPU b")
    one.put("k", Timed(TILE, 2.5))
    other.put("l", Timed(TILE, 1))
    one.write()
    other.write()
    assert Timings(path, "GPU a").get("k") == Timed(TILE, 2.5)
    assert Timings(path, "GPU b").get("l") == Timed(TILE, 1.0)
    assert json.loads(path.read_text())["format"] == DOCUMENT.format


def test_files_of_the_first_builds_are_read_and_written_as_documents(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"GPU a": {"k": {"tile": TILE.as_dict(), "us": 2.5}}}))
    timings = Timings(path, "GPU a")
    assert timings.get("k") == Timed(TILE, 2.5)
    timings.put("l", Timed(TILE, 1.0))
    timings.write()
    assert DOCUMENT.read(path).timings["GPU a"].keys() == {"k", "l"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"mine": 1}', True),
        ("[1, 2]", True),
        ("my notes", True),
        ('{"GPU a": {"k": 7}}', True),
        (
            '{"format": "yolotrt.kernel-timings", "version": 1, "timings": {"GPU a": {"k": {"tile": 3}}}}',
            False,
        ),
        ('{"format": "yolotrt.kernel-timings", "version": 1, "timi', False),
    ],
)
def test_what_is_damaged_is_made_anew_and_what_is_of_others_stays(
    tmp_path: Path, text: str, kept: bool
) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.warns(CacheWarning, match="not used"):
        timings = Timings(path, "GPU a")
    assert timings.get("k") is None
    timings.put("k", Timed(TILE, 1.0))
    if not kept:
        timings.write()
        assert Timings(path, "GPU a").get("k") is not None
        return
    with pytest.warns(CacheWarning, match="not kept"):
        timings.write()
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("taken", "counted"),
    [([5.0, 5.0, 5.0], 3), ([9.0, 5.0, 8.0, 7.0, 5.05, 1.0], 5), (range(99, 50, -4), MOST_ROUNDS)],
)
def test_where_others_use_the_gpu_kernels_are_timed_until_two_times_agree(taken: Any, counted: int) -> None:
    left = list(taken)
    asked: list[float] = []

    def seconds(*_: object) -> float:
        asked.append(left[len(asked)] if len(asked) < len(left) else 0.5)
        return asked[-1]

    scope: Any = SimpleNamespace(
        capture=lambda *_: SimpleNamespace(launch=lambda _: None), event=lambda **_: None
    )
    stream: Any = SimpleNamespace(record=lambda _: None, synchronize=lambda: None)
    device: Any = SimpleNamespace(seconds=seconds)
    assert graph_seconds(device, scope, stream, lambda: None) == min(asked)
    assert len(asked) == counted
