"""A row of a benchmark's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from yolotrt.bench.case import CaseResult
from yolotrt.bench.metrics import flat_metrics
from yolotrt.bench.statistics import Summary, summarize


@dataclass(frozen=True)
class ResultRow:
    """A case of a result, with the others that it is compared with.

    Attributes:
        entry: The case.
        cases: All cases of its result.
        deadline_s: When a result must be there, seconds from arrival; None without a deadline.
    """

    entry: CaseResult
    cases: Sequence[CaseResult]
    deadline_s: float | None = None

    @cached_property
    def summary(self) -> Summary | None:
        """Statistics of the frame, seconds; None if it was not measured."""
        return self.of("end_to_end")

    def of(self, stage: str) -> Summary | None:
        """Return statistics of a stage, seconds; None if it was not measured in every frame."""
        if stage not in self._summaries:
            self._summaries[stage] = summarize(self.entry.taken(stage))
        return self._summaries[stage]

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Medians in milliseconds by flat metric name."""
        return flat_metrics(self.entry.samples)

    @cached_property
    def _summaries(self) -> dict[str, Summary | None]:
        return {}
