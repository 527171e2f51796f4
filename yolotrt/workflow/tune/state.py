"""What a search has found out so far, kept in a file so that nothing is measured twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import OVERNIGHT_S, exclusive
from yolotrt.artifacts.hashing import content_key
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.halving import Dropped
from yolotrt.bench.result import Case, CaseResult
from yolotrt.bench.rounds import Running, Subject
from yolotrt.errors import StorageError
from yolotrt.machine.memory import Memory
from yolotrt.timing.clock import Clock, now, seconds_between
from yolotrt.workflow.tune.state_file import DOCUMENT, CaseMemory, StateFile
from yolotrt.workflow.tune.state_file import Measured as Measured

STATE = DOCUMENT.kind
PAUSE_S = 5.0


@dataclass
class TuneState:
    """The file and what is in it.

    Attributes:
        path: The file.
        key: What the figures hold for, in one key; another one starts anew.
        made_for: The same by its parts, to say which differ.
        budgets: What the cases were held against; others judge the same samples again.
        accuracy: By the engine's hash.
        cases: Samples of all cases, also of those that were given up.
        gone: Cases that were.
        memory: By case.
        clock: Decides when to save again.
    """

    path: Path
    key: str
    budgets: Budgets
    accuracy: dict[str, Measured] = field(default_factory=dict)
    cases: dict[Case, CaseResult] = field(default_factory=dict)
    gone: dict[Case, Dropped] = field(default_factory=dict)
    memory: dict[Case, Memory] = field(default_factory=dict)
    made_for: dict[str, Any] = field(default_factory=dict)
    clock: Clock = now
    _saved_ns: int = field(default=0, repr=False)
    _latest: Sequence[Running] = field(default=(), repr=False)

    @classmethod
    def open(
        cls,
        path: Path,
        key: dict[str, object],
        budgets: Budgets,
        say: Callable[[str], None],
        *,
        waited: bool = False,
        overwrite: bool = False,
    ) -> TuneState:
        """Return what is known, or an empty state if there is none for this key.

        Args:
            path: The file.
            key: What the figures hold for.
            budgets: What the cases are held against.
            say: Told what becomes of an earlier state.
            waited: Another process has just finished with this file, whose findings must not be lost.
            overwrite: Begin anew in the place of a file that is something else.

        Raises:
            ArtifactError: The file is something else.
            StorageError: Another process has just written what it found for another key.
        """
        wanted = content_key(key)
        if not path.exists() or (overwrite and not STATE.is_own(path)):
            return cls(path, wanted, budgets, made_for=key)
        found = DOCUMENT.read(path)
        if found.key != wanted:
            if waited:
                raise StorageError(
                    f"Another process has just searched with {path}, for other engines, images or settings.",
                    hint="Give this search a file of its own: --state FILE.",
                )
            say(f"tune: {path} is about {_others(found.made_for, key)}; starting anew")
            return cls(path, wanted, budgets, made_for=key)
        state = cls(
            path,
            found.key,
            found.budgets,
            dict(found.accuracy),
            {entry.case: entry for entry in found.cases},
            {entry.case: entry for entry in found.gone},
            {entry.case: entry.memory for entry in found.memory},
            made_for=key,
        )
        if state.budgets != budgets:
            say(f"tune: {path} was made for other budgets; judging what is there, and going on from it")
            return replace(state, budgets=budgets, gone={})
        say(f"tune: continuing {path}: {len(state.cases)} cases, {len(state.gone)} of them given up")
        return state

    def save(self) -> None:
        """Write the file."""
        self.cases |= {entry.subject.case: entry.result() for entry in self._latest}
        memory = ((case, taken.host, taken.gpu) for case, taken in self.memory.items())
        found = StateFile(
            self.key,
            self.budgets,
            self.accuracy,
            tuple(replace(entry, timeline=()) for entry in self.cases.values()),
            tuple(self.gone.values()),
            tuple(CaseMemory(*entry) for entry in memory),
            self.made_for,
        )
        DOCUMENT.write(self.path, found)
        self._saved_ns = self.clock()

    def resume(self, subjects: Sequence[Subject]) -> list[Running]:
        """Return the cases that were not given up, with the samples that they have already.

        Sample i is of the same picture in all of them. A case that had been given up under other budgets
        has fewer, and is the first to be measured; one that is new starts all anew.
        """
        remaining = [subject for subject in subjects if subject.case not in self.gone]
        known = [self.cases.get(subject.case) for subject in remaining]
        if not all(known):
            return [Running(subject) for subject in remaining]
        return [
            Running.resume(subject, entry) for subject, entry in zip(remaining, known, strict=True) if entry
        ]

    def note(self, running: Sequence[Running]) -> None:
        """Take note of another frame; the file is written every few seconds."""
        self._latest = tuple(running)  # of a list that those given up leave
        if seconds_between(self._saved_ns, self.clock()) > PAUSE_S:
            self.save()

    def drop(self, entry: Dropped) -> None:
        """Keep that a case was given up."""
        self.gone[entry.case] = entry
        self.save()

    def finish(self, remaining: Sequence[Running]) -> None:
        """Keep the end of the halving."""
        self.note(remaining)
        self.save()

    def memory_of(self, case: Case, measure: Callable[[], Memory]) -> Memory:
        """Return a case's memory, measuring it if it is not known."""
        if case not in self.memory:
            self.memory[case] = measure()
            self.save()
        return self.memory[case]


def _others(before: object, wanted: dict[str, object]) -> str:
    """Say what a state is about that was made for something else."""
    if not isinstance(before, dict):
        return "other engines, images or another machine"
    plain = json.loads(json.dumps(wanted))
    changed = [name for name in {**before, **plain} if before.get(name) != plain.get(name)]
    return f"another search ({', '.join(changed)} changed)"


@contextmanager
def held(
    path: Path,
    key: dict[str, object],
    budgets: Budgets,
    say: Callable[[str], None],
    *,
    overwrite: bool = False,
) -> Iterator[TuneState]:
    """Give the state in a file that no other search uses meanwhile; it is saved however the block ends.

    Args:
        path: As in :meth:`TuneState.open`.
        key: As there.
        budgets: As there.
        say: As there; also told that another search is waited for, and where an interrupted one goes on.
        overwrite: As there.

    Raises:
        ArtifactError: The file is something else.
        StorageError: It cannot be locked, or another process has just written it for another key.
    """
    with exclusive(path, say, timeout_s=OVERNIGHT_S) as waited:
        state = TuneState.open(path, key, budgets, say, waited=waited, overwrite=overwrite)
        try:
            yield state
        except BaseException:
            state.save()
            say(f"tune: what is known so far is in {state.path}; the same command continues from there")
            raise
