"""What earlier timings are used for, without a GPU: timing itself is told what it would have measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.test_planner import planned
from yolotrt.backends.fused.frame_stem import every_step
from yolotrt.backends.fused.tiles import Tile
from yolotrt.backends.fused.tuning import GpuTuner, Timed
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
