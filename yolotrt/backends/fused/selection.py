"""Which of the layers that may be INT8 are INT8: those where it is faster, conversions counted.

A layer's time in both precisions is measured, or without a GPU supposed from its bytes and operations. What a
choice costs at its borders is what its neighbours write in two forms then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from yolotrt.backends.fused.cost import cost_of
from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.roofline import GPUS
from yolotrt.backends.fused.steps import Network
from yolotrt.progress import Progress, no_progress

TYPICAL: Mapping[str, str] = {
    "sm_80": "A100",
    "sm_86": "RTX 3090",
    "sm_89": "RTX 4060 Ti",
    "sm_90": "H200",
    "sm_120": "RTX 5060 Ti",
}
"""Whose figures stand for a target where nothing can be measured."""

START = 2e-6
"""Seconds that a kernel takes at least, where nothing can be measured."""

LEAST = 0.5
"""Of a layer's time, what fewer bytes leave at least."""

SWEEPS = 4


class Measuring(Protocol):
    """Measures a network's steps on the GPU at hand."""

    target: str

    def seconds(self, network: Network, batch: int, progress: Progress) -> list[float]:
        """Return how long each step takes with its fastest tile."""
        ...


@dataclass(frozen=True)
class Times:
    """How long steps take.

    Attributes:
        half: By step, all of the network in FP16.
        whole: By step, everything INT8 that may be.
        per_byte: What one more byte to move costs.
    """

    half: Mapping[str, float]
    whole: Mapping[str, float]
    per_byte: float


@dataclass(frozen=True)
class Selection:
    """Which steps are INT8.

    Attributes:
        chosen: Their names.
        reasons: Why the other convolutions are not, by name.
    """

    chosen: tuple[str, ...]
    reasons: Mapping[str, str]


def select(
    plan: NetworkPlan,
    targets: Sequence[str],
    batch: int,
    measuring: Measuring | None = None,
    progress: Progress = no_progress,
) -> Selection:
    """Return which steps are INT8.

    Args:
        plan: The network.
        targets: GPUs that it is for; one choice is made for all.
        batch: Images at a time.
        measuring: Measures on one of the targets, which then decides; None supposes.
        progress: Told about measuring.
    """
    if not plan.possible:
        return Selection((), {})
    if measuring is None:
        chosen = cheapest(plan, supposed(plan, targets, batch), batch)
        return Selection(chosen, _reasons(plan, chosen, "slower with what it has converted, by rule"))
    times = measured(plan, batch, measuring, progress)
    tried = {
        (): sum(times.half.values()),
        tuple(plan.possible): sum(times.whole.values()),
    }
    mixed = cheapest(plan, times, batch)
    if mixed not in tried:
        tried[mixed] = sum(measuring.seconds(plan.network(mixed), batch, progress))
    best = min(tried, key=lambda chosen: tried[chosen])
    return Selection(
        best, _reasons(plan, best, f"slower with what it has converted, measured on {measuring.target}")
    )


def supposed(plan: NetworkPlan, targets: Sequence[str], batch: int) -> Times:
    """Return times by what a typical GPU of each target can do, as shares of the whole network in FP16."""
    half, whole = plan.network(()), plan.network()
    shares: tuple[dict[str, float], dict[str, float]] = ({}, {})
    per_byte = 0.0
    for target in targets:
        gpu = GPUS[TYPICAL[target]]
        both = []
        for network in (half, whole):
            costs = [cost_of(network, step) for step in network.steps]
            both.append(
                [START + batch * max(c.nbytes / gpu.bandwidth, c.operations / gpu.operations) for c in costs]
            )
        total = sum(both[0])
        per_byte += 1 / gpu.bandwidth / total
        for share, network, seconds in zip(shares, (half, whole), both, strict=True):
            for step, spent in zip(network.steps, seconds, strict=True):
                share[step.name] = share.get(step.name, 0.0) + spent / total
    return Times(*shares, per_byte)


def measured(plan: NetworkPlan, batch: int, measuring: Measuring, progress: Progress) -> Times:
    """Return times as a GPU takes them; one more byte costs what a byte costs in FP16 on average."""
    found = []
    half = plan.network(())
    for network in (half, plan.network()):
        seconds = measuring.seconds(network, batch, progress)
        found.append({step.name: s for step, s in zip(network.steps, seconds, strict=True)})
    nbytes = batch * sum(cost_of(half, step).nbytes for step in half.steps)
    return Times(found[0], found[1], sum(found[0].values()) / nbytes)


def cheapest(plan: NetworkPlan, times: Times, batch: int) -> tuple[str, ...]:
    """Return the steps whose INT8 makes the network fastest, found by changing one or a few at a time."""
    apart = plan.traffic(()), plan.traffic()

    def total(chosen: Collection[str]) -> float:
        spent = 0.0
        for name, nbytes in plan.traffic(chosen).items():
            whole = name in chosen
            base = (times.whole if whole else times.half)[name]
            more = (nbytes - apart[whole][name]) * batch * times.per_byte
            spent += max(LEAST * base, base + more)
        return spent

    best = min((frozenset[str](), frozenset(plan.possible)), key=total)
    least = total(best)
    for _ in range(SWEEPS):
        before = best
        for group in _groups(plan):
            for tried in (best | group, best - group):
                if tried != best and (spent := total(tried)) < least:
                    best, least = tried, spent
        if best == before:
            break
    return tuple(name for name in plan.possible if name in best)


def _groups(plan: NetworkPlan) -> Iterator[frozenset[str]]:
    """Return what is changed together: each step alone, and those that read the same."""
    yield from (frozenset([name]) for name in plan.possible)
    together = {frozenset(names) for names in plan.readers().values()}
    yield from sorted((g for g in together if len(g) > 1), key=sorted)


def _reasons(plan: NetworkPlan, chosen: Collection[str], slower: str) -> dict[str, str]:
    return dict(plan.refused) | {name: slower for name in plan.possible if name not in chosen}
