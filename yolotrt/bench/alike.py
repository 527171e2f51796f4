"""Were two results measured alike: on one machine, with one source, in one way?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.source import source_differences

MACHINE = ("cpu", "cores", "threads", "governor")
GPU = ("name", "driver", "power_limit_w")
SETTINGS = ("frames", "frame_px", "overlap", "depth")
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
    gpus = base.environment.get("gpu") or {}, new.environment.get("gpu") or {}
    yield from _differences("GPU ", *gpus, GPU)


def _engine_differences(
    base: RunResult, new: RunResult, pairs: Sequence[tuple[CaseResult, CaseResult]]
) -> Iterator[str]:
    """Say which library runs the engines of paired cases, and on what, where that differs.

    A machine with a GPU also runs engines on its processor: that the machine is the same is not enough.
    """
    about = [result.environment.get("engines") or {} for result in (base, new)]
    names = dict.fromkeys(
        pair
        for old, entry in pairs
        for pair in zip(old.case.engine.split(" + "), entry.case.engine.split(" + "), strict=False)
    )
    for old, other in names:
        yield from _differences(f"{other} ", about[0].get(old) or {}, about[1].get(other) or {}, ENGINE)


def version_differences(base: RunResult, new: RunResult) -> Iterator[str]:
    """Say what else differs: versions, revision and engines, which is what one compares."""
    yield from _differences("", base.environment, new.environment, ("yolotrt", "python", "platform", "git"))
    packages = base.environment.get("packages") or {}, new.environment.get("packages") or {}
    yield from _differences("", *packages, tuple(sorted({**packages[0], **packages[1]})))
    hashes = [
        {e.get("sha256", "?")[:12] for e in (r.environment.get("engines") or {}).values()}
        for r in (base, new)
    ]
    if hashes[0] != hashes[1]:
        yield f"engine {', '.join(sorted(hashes[0]))} -> {', '.join(sorted(hashes[1]))}"


def _differences(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any], keys: tuple[str, ...]
) -> Iterator[str]:
    for key in keys:
        if old.get(key) != new.get(key):
            yield f"{prefix}{key} {_text(old.get(key))} -> {_text(new.get(key))}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
