"""How much longer frames may have taken since other programs kept the processor busy."""

from __future__ import annotations

from yolotrt.bench.result import RunResult
from yolotrt.machine.watch import During

OTHER_CORES = 0.3
"""Cores that others may keep busy before anybody is told: what a quiet machine's own services need."""

LEAST_LEFT = 0.05
"""Part of the cores that a run has at the least, however busy others were."""


def crowding(result: RunResult) -> float:
    """Return how many times longer other programs may have made the frames of a run; 1 where they did not.

    A run that could use n cores and was left m of them takes n / m times as long, if it computes all the
    time. On a GPU one core is enough for the run.
    """
    others, cores = (result.during or During()).other_cores, result.environment.cores
    if others is None or not cores or others <= OTHER_CORES:
        return 1.0
    engines = result.environment.engines.values()
    on_gpu = any(device != "cpu" for engine in engines for device in engine.runs_on)
    wanted = 1 if on_gpu else min(result.environment.threads or cores, cores)
    return max(1.0, wanted / max(cores - others, LEAST_LEFT * cores))
