"""Save a run while it is measured, and take up one that was interrupted."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from yolotrt.bench.result import RunResult, read_result, write_result
from yolotrt.bench.rounds import Running
from yolotrt.bench.settings import Settings
from yolotrt.bench.source import source_differences
from yolotrt.errors import ArtifactError
from yolotrt.machine.environment import Environment
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
            hint=f"Name the pictures of the interrupted run, or choose another --output. {_report(path)}",
        )
    for what, old, new in (
        ("settings", _comparable(found.settings), _comparable(wanted.settings)),
        ("engines", _engines(found.environment), _engines(wanted.environment)),
        ("machine", _machine(found.environment), _machine(wanted.environment)),
    ):
        if old != new:
            raise ArtifactError(
                f"{path} cannot be resumed: its {what} {_difference(old, new)}.",
                hint=f"Repeat the options of that run, or choose another --output. {_report(path)}",
            )
    if found.complete and _limits(found) != _limits(wanted):
        raise ArtifactError(
            f"{path} is complete: there is nothing to resume.",
            hint=f"See it with: yolotrt report {shell_words(str(path))}   Measure anew without --resume.",
        )
    return found


def _report(path: Path) -> str:
    return f"To judge what is there: yolotrt report {shell_words(str(path))} --budget end_to_end=33ms"


def _limits(run: RunResult) -> dict[str, Any]:
    return {name: getattr(run.settings, name) for name in LIMITS}


def _comparable(settings: Settings) -> dict[str, Any]:
    named = LIMITS | {"source", "source_files"}
    return {name: value for name, value in vars(settings).items() if name not in named}


def _engines(environment: Environment) -> dict[str, Any]:
    return {name: asdict(about) for name, about in environment.engines.items()}


def _machine(environment: Environment) -> dict[str, Any]:
    return {
        **{name: getattr(environment, name) for name in ("yolotrt", "cpu", "cores", "threads", "packages")},
        "gpu": environment.gpu and environment.gpu.name,
    }


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    name = next(n for n in sorted({**old, **new}) if old.get(n) != new.get(n))
    return f"differ in {name!r}: {old.get(name)!r} then, {new.get(name)!r} now"
