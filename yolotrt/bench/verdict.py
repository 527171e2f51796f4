"""The one rule by which gates judge what was measured with noise: ``compare`` time, ``eval`` accuracy.

* A loss beyond the limit fails if its interval excludes that nothing was lost. The interval need not lie
  beyond the limit as a whole: a loss of just more than the limit would then hardly ever be found.
* Otherwise the samples may be too few or too noisy for the answer to mean anything, and a gate that passes
  whatever comes is none. They are if the interval reaches to a loss that nobody would call noise
  (:data:`GROSS`, or the limit if that is larger); without an interval, also if the loss itself is beyond
  the limit.
* Everything else passes. A loss beyond the limit whose interval includes no loss at all may be noise, and
  is called so; to fail it would fail an unchanged thing in every fourth comparison on a busy machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Outcome = Literal["passed", "failed", "undecided"]

GROSS = {"time": 0.2, "accuracy": 0.05}
"""Relative losses that a gate must be able to see."""


def outcome(loss: float, limit: float, *, certain: bool, known: bool, reach: float, gross: float) -> Outcome:
    """Judge one figure; see the module.

    Args:
        loss: What was lost, above 0; as a part, or in whatever unit ``limit`` has.
        limit: The largest accepted loss.
        certain: Whether it is excluded that nothing was lost.
        known: Whether there are samples enough for an interval.
        reach: The largest loss that the samples do not exclude.
        gross: A loss that they must be able to exclude, one of :data:`GROSS`.
    """
    if certain and loss > limit:
        return "failed"
    blind = reach > max(limit, gross) or (not known and loss > limit)
    return "undecided" if blind else "passed"


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Return what a gate on several figures says: one failure fails it, and one doubt leaves it open."""
    found = set(outcomes)
    return "failed" if "failed" in found else "undecided" if "undecided" in found else "passed"
