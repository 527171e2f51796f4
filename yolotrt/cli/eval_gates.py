"""What ``yolotrt eval`` holds engines to: ``--max-drop`` and ``--max-drop-small``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.cli.console import note, say

if TYPE_CHECKING:
    from yolotrt.evaluation.comparison import Difference
    from yolotrt.workflow.accuracy_file import HeldBound
    from yolotrt.workflow.evaluate import EngineAccuracy, MaxDrop

Gate = tuple[str, str, "Difference", "MaxDrop"]
"""Name of an engine, what of it is judged, and by what."""


def gates_of(found: list[EngineAccuracy], bound: MaxDrop | None, small: MaxDrop | None) -> list[Gate]:
    """Return what is judged; nothing of the references.

    Raises:
        InputError: Small objects are to be judged, and there are none.
    """
    from yolotrt.errors import InputError

    gates: list[Gate] = []
    for entry in found:
        against = entry.comparison
        if against is None:
            continue
        name = entry.file.name
        if bound is not None:
            kinds = (("box mAP", against.box), ("mask mAP", against.mask))
            gates += [(name, kind, d, bound) for kind, d in kinds if d is not None]
        if small is not None:
            if "small" not in against.sizes:
                raise InputError(
                    "None of the annotated objects is small, so nothing can be said of small objects.",
                    hint="Leave --max-drop-small out, or give images with objects below 32 x 32 px.",
                )
            gates.append((name, "small boxes' mAP", against.sizes["small"], small))
    return gates


def hold(gates: list[Gate], held: HeldBound, strict: bool) -> None:
    """Say what each engine loses.

    Raises:
        GateFailed: One loses more than its bound.
        GateUndecided: The images cannot tell, and that counts as failing.
    """
    from yolotrt.errors import GateFailed, GateUndecided

    doubts = []
    for name, kind, difference, bound in gates:
        chance = bound.chance(difference)
        loses = (
            f"{name} {'gains' if difference.absolute > 0 else 'loses'} {abs(difference.absolute) * 100:.2f} "
            f"points of {kind} ({abs(difference.relative or 0):.1%} relative"
            + ("" if chance is None else f", more than {bound} with a probability of {chance:.0%}")
            + ")"
        )
        outcome = bound.outcome(difference)
        if outcome == "failed":
            raise GateFailed(
                f"{loses}, more than {bound}.",
                hint="Calibrate on more or other images, or keep sensitive layers in higher precision.",
            )
        if outcome == "undecided":
            doubts.append(
                f"{loses}, which may be noise: so few images cannot tell whether {bound} is kept"
                if difference.reference > 0
                else f"the reference finds nothing of what is annotated: there is no {kind} to keep"
            )
        elif bound.beyond(difference):
            note(f"{loses}, more than {bound}, but within noise")
        else:
            note(loses)
    if doubts and strict:
        raise GateUndecided(
            f"Undecided: {doubts[0]}.",
            hint="Evaluate on more images of what the model knows, or let it pass with --undecided pass.",
        )
    say(f"--max-drop {held.bound}: {f'undecided: {doubts[0]}' if doubts else 'held'}")
