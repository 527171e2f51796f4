"""The driver of a batch: it deals out shards, hears what came of them, and counts.

What is done is what lies in the folder. A run looks there before it gives a shard away, so whatever ended the
one before, the next computes what is missing and nothing else. The driver holds a few shards for each worker,
and of each finished one its duration.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from yolotrt.artifacts.files import mapped_os_errors
from yolotrt.errors import ExecutionError
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.scale.crew import Crew, Lost, Ready, Refused
from yolotrt.scale.job import SHARDS, Outcome, result_path
from yolotrt.scale.layouts import layout
from yolotrt.scale.plan import Shard, read_plan
from yolotrt.workflow.batched import BatchReport, FailedShard, Straggler, WorkerShare

IN_HAND = 2
"""Shards that a worker has at a time: one that it computes, and one so that it need not wait for the next."""

ATTEMPTS = 3
"""Workers that a shard may end before it counts as failed."""

FALSE_STARTS = 3
"""Workers in a row that may end before they have begun."""

LOST_IN_A_ROW = 3 * ATTEMPTS
"""Workers in a row that may end without any finishing a shard: a network that crashes does so in each."""

MOST_NAMED = 20
"""Failed shards, and stragglers, that the report names."""

STRAGGLES = 3.0
"""Times the usual time for a frame from which on a shard is a straggler."""


@dataclass
class _Share:
    shards: int = 0
    frames: int = 0
    busy_s: float = 0.0


@dataclass
class _State:
    """What the driver knows."""

    frames_planned: int
    reused: int = 0
    computed: int = 0
    frames: int = 0
    objects: int = 0
    unread: int = 0
    first_unread: str | None = None
    lost: int = 0
    false_starts: int = 0
    lost_in_a_row: int = 0
    failed: int = 0
    failures: list[FailedShard] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    slowest: list[tuple[float, Straggler]] = field(default_factory=list)
    shares: dict[str, _Share] = field(default_factory=dict)


@dataclass
class _Dealer:
    """Gives shards to whoever has room."""

    coming: Iterator[Shard]
    again: deque[Shard] = field(default_factory=deque)
    hands: dict[int, deque[Shard]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    empty: bool = False

    def next(self) -> Shard | None:
        """Return the next shard; None if there is none to give."""
        if self.again:
            return self.again.popleft()
        shard = next(self.coming, None)
        self.empty = shard is None
        return shard

    @property
    def busy(self) -> bool:
        """Whether a result is still to come."""
        return any(self.hands.values()) or bool(self.again)


def run_batch(
    folder: Path,
    hire: Callable[[], AbstractContextManager[Crew]],
    total: tuple[int, int],
    *,
    layout_name: str,
    progress: Progress = no_progress,
    say: Say = print,
) -> BatchReport:
    """Compute what a plan lacks.

    Args:
        folder: Holds the plan, and gets the results.
        hire: Gives who computes shards, if any is missing.
        total: How many shards and frames are planned.
        layout_name: How results are written.
        progress: Told how many frames are done.
        say: Told once of each kind of thing that is wrong with pictures, and of workers that ended.

    Raises:
        YoloTrtError: Nothing more can be computed: an engine that does not load, a full disk.
        ExecutionError: Workers end before they have done anything.
    """
    begin, state = time.perf_counter(), _State(total[1])
    with mapped_os_errors(folder / SHARDS):
        (folder / SHARDS).mkdir(exist_ok=True)
    with read_plan(folder) as (_, shards):
        missing = _missing(shards, folder, layout_name, state)
        first = next(missing, None)
        if first is not None:
            with hire() as crew:
                _deal(_Dealer(missing, deque([first])), crew, state, progress, say)
    progress("batch", state.frames_planned, state.frames_planned)
    return _report(folder, state, total, time.perf_counter() - begin)


def _deal(dealer: _Dealer, crew: Crew, state: _State, progress: Progress, say: Say) -> None:
    """Give shards away, and hear what comes of them, until none is left."""
    where: dict[int, str] = {}
    progress("batch", 0, state.frames_planned)
    while True:
        for member in range(crew.size):
            hand = dealer.hands.setdefault(member, deque())
            while member in where and len(hand) < IN_HAND and (shard := dealer.next()) is not None:
                hand.append(shard)
                crew.give(member, shard)
        if not dealer.busy and dealer.empty:
            return
        for member, said in crew.listen(1.0):
            if isinstance(said, Ready):
                where[member] = said.where
            elif isinstance(said, Lost):
                _lost(where.pop(member, None), dealer, member, state, say)
            elif isinstance(said, Refused):
                _refused(said, dealer, member, state)
            else:
                _done(said, dealer.hands[member], where[member], state, say)
        progress("batch", state.frames, state.frames_planned)


def _missing(shards: Iterable[Shard], folder: Path, layout_name: str, state: _State) -> Iterator[Shard]:
    for shard in shards:
        if result_path(folder, shard, layout_name).exists():
            state.reused += 1
            state.frames_planned -= shard.frames
        else:
            yield shard


def _done(outcome: Outcome, hand: deque[Shard], where: str, state: _State, say: Say) -> None:
    shard = _taken(hand, outcome.shard)
    state.false_starts = state.lost_in_a_row = 0
    if outcome.was_there:
        state.reused += 1
        state.frames_planned -= shard.frames
        return
    state.computed += 1
    state.frames += outcome.frames
    state.objects += outcome.objects
    state.unread += outcome.unread
    if outcome.first_unread is not None and state.first_unread is None:
        state.first_unread = outcome.first_unread
        say(f"warning: not read: {outcome.first_unread} Further ones are counted, and named in the results.")
    for remark in outcome.remarks:
        if len(state.remarks) < MOST_NAMED and remark not in state.remarks:
            state.remarks[remark] = None
            say(f"warning: {remark}")
    share = state.shares.setdefault(where, _Share())
    share.shards += 1
    share.frames += outcome.frames
    share.busy_s += outcome.seconds
    each = outcome.seconds / max(outcome.frames, 1)
    state.seconds.append(each)
    state.slowest.append((each, Straggler(shard.name, where, outcome.frames, outcome.seconds)))
    state.slowest.sort(key=lambda entry: -entry[0])
    del state.slowest[MOST_NAMED:]


def _refused(said: Refused, dealer: _Dealer, member: int, state: _State) -> None:
    if said.stops_all:
        raise said.error()
    assert said.shard is not None
    _fail(_taken(dealer.hands[member], said.shard), said.message, state)


def _lost(where: str | None, dealer: _Dealer, member: int, state: _State, say: Say) -> None:
    """Give the shards of a worker that ended to others; the first is what it was at."""
    hand = dealer.hands[member]
    state.lost += 1
    state.lost_in_a_row += 1
    if state.lost_in_a_row > LOST_IN_A_ROW:
        raise ExecutionError(
            f"{state.lost_in_a_row} workers in a row ended without finishing a shard.",
            hint="Try one picture in this process: yolotrt predict ENGINE PICTURE",
        )
    if where is None or not hand:
        state.false_starts += 1
        if state.false_starts > FALSE_STARTS:
            raise ExecutionError(
                "Workers end before they have begun.",
                hint="See whether they are killed for memory (dmesg); try one: --workers 1",
            )
        return
    say(f"warning: worker {where} ended at shard {hand[0].name}; another takes its place")
    tried = dealer.attempts[hand[0].index] = dealer.attempts.get(hand[0].index, 0) + 1
    if tried >= ATTEMPTS:
        _fail(hand.popleft(), f"It ended its worker {tried} times.", state)
    dealer.again.extend(hand)
    hand.clear()


def _fail(shard: Shard, message: str, state: _State) -> None:
    state.failed += 1
    if len(state.failures) < MOST_NAMED:
        state.failures.append(FailedShard(shard.name, shard.items[0].name, len(shard.items), message))


def _taken(hand: deque[Shard], index: int) -> Shard:
    shard = next(shard for shard in hand if shard.index == index)
    hand.remove(shard)
    return shard


def remove_stale(folder: Path, layout_name: str) -> int:
    """Remove results that the plan does not have, of inputs that went or changed; return how many."""
    places, suffix = folder / SHARDS, layout(layout_name).suffix
    found = sorted(entry.name for entry in os.scandir(places) if _OURS.fullmatch(entry.name))
    removed = 0
    with read_plan(folder) as (_, shards):
        planned = (shard.name + suffix for shard in shards)
        wanted = next(planned, None)
        for name in found:
            while wanted is not None and wanted < name:
                wanted = next(planned, None)
            if name != wanted:
                (places / name).unlink()
                removed += 1
    return removed


_OURS = re.compile(r"\d{8,}-[0-9a-f]{16}\.(jsonl|parquet)")
"""Names of results: whatever else lies there is the user's."""


def _report(folder: Path, state: _State, total: tuple[int, int], seconds: float) -> BatchReport:
    usual = median(state.seconds) if state.seconds else 0.0
    return BatchReport(
        folder=str(folder),
        shards=total[0],
        frames=total[1],
        computed=state.computed,
        reused=state.reused,
        failed=state.failed,
        failures=tuple(state.failures),
        frames_computed=state.frames,
        objects=state.objects,
        unread=state.unread,
        first_unread=state.first_unread,
        workers_lost=state.lost,
        seconds=seconds,
        frames_per_s=state.frames / seconds if seconds > 0 else 0.0,
        workers=tuple(
            WorkerShare(where, s.shards, s.frames, s.busy_s, s.frames / s.busy_s if s.busy_s > 0 else 0.0)
            for where, s in sorted(state.shares.items())
        ),
        stragglers=tuple(s for each, s in state.slowest if each > STRAGGLES * usual > 0),
    )
