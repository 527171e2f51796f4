"""When frames arrive: on a clock of their own, as from a camera, and not when the one before is done.

In the words of MLPerf Inference, frames back to back are *single stream*: the next query is issued when the
one before is complete. Frames of a Poisson process are its *server* scenario. A camera's fixed rate has none.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Literal

import numpy as np

from yolotrt.artifacts.files import require_file
from yolotrt.data.kinds import WAITING
from yolotrt.errors import InputError, UsageError

SEED = 20_261_130
"""Poisson arrivals are the same in every run, so that two runs can be compared."""

MOST_STAMPS = 10_000_000
HINT = "Like this: --arrival 30fps, --arrival poisson:30 or --arrival trace:FILE"

_RATE = re.compile(r"(?P<poisson>poisson:)?(?P<rate>\d+(\.\d+)?)(fps)?")

ArrivalKind = Literal["fixed", "poisson", "trace"]


@dataclass(frozen=True)
class Arrival:
    """A way in which frames arrive.

    Attributes:
        kind: A fixed rate, a Poisson process, or recorded times.
        rate: Frames per second on average.
        gaps: Seconds between recorded arrivals; repeated when they are used up. Empty for the others.
    """

    kind: ArrivalKind
    rate: float
    gaps: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Arrival:
        """Parse ``30fps``, ``poisson:30`` or ``trace:FILE``.

        A trace is a text file with a time per line, in seconds and in order; a ``#`` begins a remark.

        Raises:
            UsageError: It is none of these, or the rate makes no sense.
            InputError: The trace cannot be read.
        """
        if text.startswith("trace:"):
            return cls._of_trace(Path(text.removeprefix("trace:")))
        found = _RATE.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"--arrival {text!r} is not understood.", hint=HINT)
        rate = float(found["rate"])
        if not 0.01 <= rate <= 100_000:
            raise UsageError(f"--arrival {text!r}: {rate:g} frames per second make no sense.", hint=HINT)
        return cls("poisson" if found["poisson"] else "fixed", rate)

    @classmethod
    def _of_trace(cls, path: Path) -> Arrival:
        require_file(path, "trace of arrivals")
        try:
            lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
            stamps = np.array([float(line) for line in lines if line][: MOST_STAMPS + 1])
        except (OSError, ValueError) as exc:
            raise InputError(
                f"{path} is no trace of arrivals: {exc}.", hint="It has a time in seconds on each line."
            ) from exc
        gaps = np.diff(stamps)
        if len(stamps) < 2 or len(stamps) > MOST_STAMPS or not np.isfinite(stamps).all() or (gaps < 0).any():
            raise InputError(
                f"{path} is no trace of arrivals: it needs two times or more, in order.",
                hint="It has a time in seconds on each line, in order.",
            )
        if not gaps.sum() > 0:
            raise InputError(
                f"{path}: all frames arrive at once.", hint="Use bench without --arrival for that."
            )
        return cls("trace", len(gaps) / float(gaps.sum()), tuple(gaps.tolist()))

    def times(self) -> Iterator[float]:
        """Return seconds from the first arrival on: 0, and so on without an end."""
        if self.kind == "fixed":
            yield from (index / self.rate for index in count())
        rng, at, index = np.random.default_rng(SEED), 0.0, 0
        while True:
            yield at
            gap = self.gaps[index % len(self.gaps)] if self.gaps else -math.log(1 - rng.random()) / self.rate
            at, index = at + gap, index + 1

    def stretch(self, begin: int, length: int) -> list[float]:
        """Return ``length`` times from the ``begin``-th arrival on, counted from that one."""
        found = list(islice(self.times(), begin, begin + length))
        return [at - found[0] for at in found]


Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Pace:
    """How frames come.

    Attributes:
        arrival: When.
        capacity: Frames that wait at most; the newest are kept, as in ``yolotrt run``.
        sleep: Waits for so many seconds.
    """

    arrival: Arrival
    capacity: int = WAITING
    sleep: Sleep = time.sleep
