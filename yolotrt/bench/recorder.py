"""Save a run while it is measured, and take up one that was interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolotrt.bench.result import RunResult, read_result, write_result
from yolotrt.bench.rounds import Running
from yolotrt.bench.source import FILES, source_differences
from yolotrt.errors import ArtifactError
from yolotrt.text import shell_words
from yolotrt.timing.clock import Clock, now, seconds_between

LEAST_PAUSE_S = 2.0
SHARE = 20
"""After a save that took t seconds none follows for 20 t: saving costs at most 5 % of the time."""

LIMITS = frozenset({"iterations", "duration_s", "until_stable", "warmup"})
"""Settings that a continued run may change."""


class Recorder:
    """Writes what was measured so far after each frame of each case, unless that would cost much time.

    Args:
        target: The result file; None keeps nothing on disk.
        empty: The run, still without cases.
        clock: Decides when to save again.
    """

    def __init__(self, target: Path | None, empty: RunResult, clock: Clock = now) -> None:
        self._target, self._empty, self._clock = target, empty, clock
        self._latest: tuple[list[Running], float] | None = None
        self._written: Path | None = None
        self._due_ns = clock()

    def __call__(self, running: list[Running], spent_s: float) -> None:
        """Take note of another frame, and save if it is time to."""
        self._latest = (running, spent_s)
        begin = self._clock()
        if begin >= self._due_ns:
            self.save()
            took = seconds_between(begin, self._clock())
            self._due_ns = self._clock() + int(max(LEAST_PAUSE_S, SHARE * took) * 1e9)

    def save(self) -> Path | None:
        """Write what has not been written, and return the file if it holds any.

        After an error or Ctrl-C some cases may have a frame more than others; resuming ends that round.
        """
        if self._target is None or self._latest is None:
            return self._written
        running, spent_s = self._latest
        cases = tuple(entry.result() for entry in running)
        self._written = write_result(self._target, replace(self._empty, cases=cases, measured_s=spent_s))
        self._latest = None  # only now: Ctrl-C in the middle of writing makes it be written again
        return self._written


def take_up(path: Path, wanted: RunResult) -> RunResult | None:
    """Return the run in a file if ``wanted`` is the same run; None if there is no file.

    It may be complete: a command that was killed after its last save is then done at once when repeated.

    Raises:
        ArtifactError: The file is damaged, of another run, or complete with other limits.
    """
    if not path.exists():
        return None
    found = read_result(path)
    if exchanged := [*source_differences(found.settings, wanted.settings)]:
        raise ArtifactError(
            f"{path} cannot be resumed: {exchanged[0]}.",
            hint="Name the pictures of the interrupted run, or choose another --output.",
        )
    for what, old, new in (
        ("settings", _comparable(found.settings), _comparable(wanted.settings)),
        ("engines", found.environment.get("engines"), wanted.environment.get("engines")),
        ("machine", _machine(found.environment), _machine(wanted.environment)),
    ):
        if _plain(old) != _plain(new):
            raise ArtifactError(
                f"{path} cannot be resumed: its {what} {_difference(_plain(old), _plain(new))}.",
                hint="Repeat the options of the interrupted run, or choose another --output.",
            )
    if found.complete and _limits(found) != _limits(wanted):
        raise ArtifactError(
            f"{path} is complete: there is nothing to resume.",
            hint=f"See it with: yolotrt report {shell_words(str(path))}   Measure anew without --resume.",
        )
    return found


def _limits(run: RunResult) -> dict[str, Any]:
    return {key: run.settings.get(key) for key in LIMITS}


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in LIMITS | {"source", FILES}}


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    gpu = environment.get("gpu") or {}
    return {
        **{key: environment.get(key) for key in ("yolotrt", "cpu", "cores", "threads", "packages")},
        "gpu": gpu.get("name"),
    }


def _plain(value: Any) -> Any:
    """Return the value as it looks after a trip through JSON."""
    return json.loads(json.dumps(value))


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(k for k in {**old, **new} if old.get(k) != new.get(k))
        if keys:
            return f"differ in {keys[0]!r}: {old.get(keys[0])!r} then, {new.get(keys[0])!r} now"
    return "differ"
