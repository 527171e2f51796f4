"""How often ``compare`` is wrong: false alarms, and slow-downs that it calls none, by simulation.

Frames are drawn from an autoregressive process of first order (each resembles the one before it by r) with
log-normal latencies, as on a machine that speeds up and slows down. Both runs of a pair are alike but for
the slow-down. The tests hold a fast version of it to at most 5 % false alarms.

    python -m benchmarks.gate_errors [--pairs N] [--json FILE]
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.arrays import F64
from yolotrt.bench.compare import compare
from yolotrt.bench.evidence import apart
from yolotrt.bench.result import Case, CaseResult, Endings, RunResult
from yolotrt.bench.settings import Settings
from yolotrt.machine.environment import environment

MEDIAN_S = 0.01
SPREADS = (0.05, 0.1, 0.2)
RUNS = ((10, 0.8), (20, 0.0), (20, 0.5), (20, 0.8), (20, 0.95), (100, 0.0), (100, 0.8), (100, 0.95))
"""Frames per run, and how much each resembles the one before it."""


def frames(rng: np.random.Generator, count: int, r: float, spread: float) -> F64:
    """Return (count,) seconds."""
    noise, values = rng.normal(size=count), np.empty(count)
    values[0] = noise[0]
    for i in range(1, count):
        values[i] = r * values[i - 1] + np.sqrt(1 - r * r) * noise[i]
    return np.asarray(MEDIAN_S * np.exp(spread * values))


def result(samples: F64) -> RunResult:
    """Return a result of one case."""
    case = CaseResult(Case("a", "fp32", "tiled", "serial", 1), {"end_to_end": samples.tolist()}, [], 0)
    return RunResult(Settings(source="scene"), environment(1), (case,), stopped=Endings("iterations"))


def outcomes(
    pairs: int, count: int, r: float, spread: float, slower: float, stat: str, fail_on: float
) -> dict[str, Any]:
    """Return how often each outcome came, as a part of all pairs."""
    rng = np.random.default_rng(20_261_130)
    found: Counter[str] = Counter()
    ordered = 0
    for _ in range(pairs):
        base, new = frames(rng, count, r, spread), slower * frames(rng, count, r, spread)
        ordered += apart(base, new)
        found[compare(result(base), result(new), stat=stat, fail_on=fail_on).outcome] += 1
    return {
        "frames": count, "r": r, "spread": spread, "slower": slower, "stat": stat, "fail_on": fail_on,
        **{name: found[name] / pairs for name in ("failed", "undecided", "passed")},
        "apart": ordered / pairs,
    }  # fmt: skip


def main() -> None:
    """Simulate every setting and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of runs per setting")
    parser.add_argument("--stat", choices=("p50", "p95"), help="only this one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print("frames  r     spread  slower  stat  failed  undecided  passed  apart")
    for stat, fail_on in (("p50", 0.03), ("p95", 0.05)):
        if arguments.stat not in (None, stat):
            continue
        for slower in (1.0, 1.3):
            for count, r in RUNS:
                for spread in SPREADS:
                    row = outcomes(arguments.pairs, count, r, spread, slower, stat, fail_on)
                    rows.append(row)
                    print(
                        f"{count:6}  {r:.2f}  {spread:6.2f}  {slower:6.2f}  {stat:4}  {row['failed']:6.1%}  "
                        f"{row['undecided']:9.1%}  {row['passed']:6.1%}  {row['apart']:5.1%}",
                        flush=True,
                    )
    emit({"pairs": arguments.pairs, "rows": rows}, arguments.json)


if __name__ == "__main__":
    main()
