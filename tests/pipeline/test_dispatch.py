from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from yolotrt.geometry.tiles import split_groups
from yolotrt.pipeline.dispatch import DISPATCH_MODES, DispatchMode, ThreadBudget, new_dispatcher


@dataclass
class _Recorder:
    """Stands for an engine: it only notes which contexts were asked for."""

    asked: list[tuple[int, int, int]] = field(default_factory=list)

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Any:
        self.asked.append((batch, lane, threads))
        return (batch, lane)


def whole(groups: list[range]) -> list[list[range]]:
    """Each group as one batch."""
    return [[group] for group in groups]


@pytest.mark.parametrize("mode", DISPATCH_MODES)
@pytest.mark.parametrize("groups", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("total", [1, 2, 3, 8])
def test_no_mode_gets_more_threads_than_the_budget(mode: DispatchMode, groups: int, total: int) -> None:
    budget = ThreadBudget.share(mode, groups, total)
    assert 1 <= budget.lanes * budget.threads <= total


@pytest.mark.parametrize("mode", DISPATCH_MODES)
@pytest.mark.parametrize("groups", [1, 3, 8])
def test_results_come_in_group_order(mode: DispatchMode, groups: int) -> None:
    engine = _Recorder()
    dispatcher = new_dispatcher(mode, engine, whole(split_groups(32, groups)), 4)  # type: ignore[arg-type]

    def job(group: int, _tiles: range, _context: Any) -> int:
        time.sleep(0.002 * ((groups - group) % 3))
        return group

    assert dispatcher.run(job) == list(range(groups))
    assert dispatcher.run(job) == list(range(groups))
    dispatcher.close()
    assert [batch for batch, _, _ in engine.asked] == [len(r) for r in split_groups(32, groups)]


def test_a_lane_is_never_entered_twice_at_once() -> None:
    busy: set[int] = set()
    lock = threading.Lock()

    def job(_group: int, _tiles: range, context: Any) -> None:
        lane = context[1]
        with lock:
            assert lane not in busy
            busy.add(lane)
        time.sleep(0.001)
        with lock:
            busy.remove(lane)

    dispatcher = new_dispatcher("threads", _Recorder(), whole(split_groups(32, 16)), 3)  # type: ignore[arg-type]
    for _ in range(5):
        dispatcher.run(job)
    dispatcher.close()


@pytest.mark.parametrize("mode", DISPATCH_MODES)
def test_a_failing_group_fails_the_frame_after_all_groups_ended(mode: DispatchMode) -> None:
    running = []

    def job(group: int, _tiles: range, _context: Any) -> None:
        if group == 0:
            raise RuntimeError("boom")
        running.append(group)
        time.sleep(0.02)
        running.remove(group)

    dispatcher = new_dispatcher(mode, _Recorder(), whole(split_groups(8, 4)), 4)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="boom"):
        dispatcher.run(job)
    assert running == []
    dispatcher.close()
