"""The file in which a search keeps what it has found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.bench.budgets import Budgets, from_flat
from yolotrt.bench.case import Case, CaseResult, require_even, with_order_and_depth
from yolotrt.bench.halving import Dropped
from yolotrt.bench.verdict import Outcome
from yolotrt.evaluation.comparison import Difference
from yolotrt.machine.memory import Memory
from yolotrt.workflow.evaluate import EngineAccuracy, MaxDrop


@dataclass(frozen=True)
class Measured:
    """An engine's accuracy.

    Attributes:
        box: Box mAP50-95, in [0, 1], or None.
        mask: Mask mAP50-95, or None.
        losses: Differences to FP32, of boxes and masks as far as there are.
    """

    box: float | None
    mask: float | None
    losses: tuple[Difference, ...]

    @classmethod
    def of(cls, entry: EngineAccuracy) -> Measured:
        """Return the figures of an evaluation."""
        accuracy, against = entry.evaluation.accuracy, entry.comparison
        losses = () if against is None else (against.box, *([against.mask] if against.mask else []))
        return cls(accuracy.box.ap, accuracy.mask.ap if accuracy.mask else None, losses)

    @property
    def score(self) -> float | None:
        """The mAP of the masks, or of the boxes without masks."""
        return self.box if self.mask is None else self.mask

    @property
    def loss_text(self) -> str:
        """The losses in points."""
        return " and ".join(f"{round(-loss.absolute * 100, 2) + 0.0:.2f} points" for loss in self.losses)

    def outcome(self, bound: MaxDrop) -> Outcome:
        """Whether it keeps a bound on box and mask mAP."""
        found = {bound.outcome(loss) for loss in self.losses}
        return "failed" if "failed" in found else "undecided" if "undecided" in found else "passed"

    def beyond(self, bound: MaxDrop) -> bool:
        """Whether it loses more than accepted, be it noise or not."""
        return any(bound.beyond(loss) for loss in self.losses)


@dataclass(frozen=True)
class CaseMemory:
    """What a process takes that runs a case.

    Attributes:
        case: The case.
        bytes: See :class:`yolotrt.machine.memory.Memory`.
        gpu_bytes: As there.
    """

    case: Case
    bytes: Count
    gpu_bytes: Count | None

    @property
    def memory(self) -> Memory:
        """The memory without the case."""
        return Memory(self.bytes, self.gpu_bytes)


@dataclass(frozen=True)
class StateFile:
    """What a search has found out so far.

    Attributes:
        key: What the figures hold for, in one key.
        budgets: What the cases were held against.
        accuracy: By the engine's hash.
        cases: Samples of all cases, without timelines; earlier versions kept none of those given up.
        gone: Cases that were given up.
        memory: Memory of cases.
        made_for: As ``key``, by its parts; None in files of earlier versions.
    """

    key: str
    budgets: Budgets
    accuracy: Mapping[str, Measured]
    cases: tuple[CaseResult, ...]
    gone: tuple[Dropped, ...]
    memory: tuple[CaseMemory, ...]
    made_for: Mapping[str, Any] | None = None


def _check(state: StateFile) -> None:
    for entry in state.cases:
        require_even(entry)


def _with_metrics(state: StateFile) -> StateFile:
    return replace(state, cases=tuple(entry.with_metrics() for entry in state.cases))


def _from_1(found: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had flat budgets, and one text for dispatch, order and depth."""

    def split(entries: Any) -> list[dict[str, Any]]:
        return [{**entry, "case": with_order_and_depth(entry["case"])} for entry in entries]

    return {
        **found,
        "budgets": from_flat(found["budgets"]),
        "cases": split(found["cases"]),
        "gone": split(found["gone"]),
        # Still earlier ones did not ask GPUs.
        "memory": split(entry for entry in list(found["memory"]) if "gpu_bytes" in dict(entry)),
    }


DOCUMENT = Document(
    "yolotrt.tune",
    2,
    StateFile,
    "what yolotrt tune knows so far",
    again="Remove it and tune again.",
    older={1: _from_1},
    check=_check,
    prepare=_with_metrics,
)
