"""Were two results measured alike: on one machine, with one source, in one way?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.source import source_differences
from yolotrt.machine.environment import EngineRecord

MACHINE = ("cpu", "cores", "threads", "governor")
GPU = ("name", "driver", "power_limit_w")
SETTINGS = ("frames", "frame_px", "overlap", "depth", "arrival", "merge", "tiles")
ENGINE = ("backend", "runs_on")


def differences_apart(
    base: RunResult, new: RunResult, pairs: Sequence[tuple[CaseResult, CaseResult]]
) -> Iterator[str]:
    """Say what keeps two results from being compared: machine, source, settings, or what runs the engines."""
    yield from _machine_differences(base, new)
    yield from source_differences(base.settings, new.settings)
    yield from _differences("", base.settings, new.settings, SETTINGS)
    yield from _engine_differences(base, new, pairs)


def _machine_differences(base: RunResult, new: RunResult) -> Iterator[str]:
    yield from _differences("", base.environment, new.environment, MACHINE)
    yield from _differences("GPU ", base.environment.gpu, new.environment.gpu, GPU)


def _engine_differences(
    base: RunResult, new: RunResult, pairs: Sequence[tuple[CaseResult, CaseResult]]
) -> Iterator[str]:
    """Say which library runs the engines of paired cases, and on what, where that differs.

    A machine with a GPU also runs engines on its processor: that the machine is the same is not enough.
    """
    before, after = base.environment.engines, new.environment.engines
    names = dict.fromkeys(
        pair
        for old, entry in pairs
        for pair in zip(old.case.engine.split(" + "), entry.case.engine.split(" + "), strict=False)
    )
    unknown = EngineRecord()
    for old, other in names:
        yield from _differences(f"{other} ", before.get(old, unknown), after.get(other, unknown), ENGINE)


def version_differences(base: RunResult, new: RunResult) -> Iterator[str]:
    """Say what else differs: versions, revision and engines, which is what one compares."""
    yield from _differences("", base.environment, new.environment, ("yolotrt", "python", "platform", "git"))
    old, other = base.environment.packages, new.environment.packages
    for name in sorted({**old, **other}):
        if old.get(name) != other.get(name):
            yield f"{name} {old.get(name)} -> {other.get(name)}"
    hashes = [{(e.sha256 or "?")[:12] for e in r.environment.engines.values()} for r in (base, new)]
    if hashes[0] != hashes[1]:
        yield f"engine {', '.join(sorted(hashes[0]))} -> {', '.join(sorted(hashes[1]))}"


def _differences(prefix: str, old: object, new: object, names: tuple[str, ...]) -> Iterator[str]:
    """Compare attributes; those of None are None."""
    for name in names:
        before, after = getattr(old, name, None), getattr(new, name, None)
        if before != after:
            yield f"{prefix}{name} {_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or str(None)
    return str(value)
