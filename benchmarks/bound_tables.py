"""Tables of what the estimate of ``build --max-drop`` gets right and wrong, and of what engines lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BOUNDS = (0.005, 0.01, 0.02, 0.05)

IMAGES = 40
"""Pictures that an engine's own line estimates from."""

WITHIN = "within a bound"
"""The variant that ``build --max-drop`` tries first."""

KEPT_BACK = ("yolo12n", "yolo11s", "yolo26n")
"""Networks on which nothing was tried before criterion and first choice were as they are."""

Row = dict[str, Any]


def errors(rows: Sequence[Row], images: str, bound: float) -> dict[str, int]:
    """Count engines that lose no more than a bound, those that lose over twice as much, and mistakes."""
    found = {"good": 0, "refused": 0, "bad": 0, "missed": 0}
    for row in rows:
        loss = max(row["box_loss"], row.get("mask_loss", 0.0))
        held = max(row["said"][images]["losses"].values()) <= bound
        found["good"] += loss <= bound
        found["refused"] += loss <= bound and not held
        found["bad"] += loss > 2 * bound
        found["missed"] += loss > 2 * bound and held
    return found


def errors_table(rows: Sequence[Row]) -> str:
    """Return false refusals and misses by bound and number of images, in Markdown.

    Only some engines were looked at in more than :data:`IMAGES` pictures; these have lines of their own, so
    that numbers of pictures are compared on the same engines.
    """
    few, many = (_counts(rows, most=IMAGES), _counts(rows))
    longer = [row for row in rows if set(many) <= set(row["said"])]
    sets = [("all", rows, few)] + ([("seen longer", longer, many)] if many != few else [])
    looked = ", ".join(many)
    lines = [
        f"| bound | engines | good ones | refused of them, of {looked} pictures | bad ones | "
        f"missed of them, of {looked} pictures |"
    ]
    lines.append("| --- | --- | --: | --- | --: | --- |")
    for bound in BOUNDS:
        for name, chosen, pictures in sets:
            found = [errors(chosen, images, bound) for images in pictures]
            refused, missed = (", ".join(str(each[key]) for each in found) for key in ("refused", "missed"))
            cells = (f"{bound * 100:g} %", name, found[0]["good"], refused, found[0]["bad"], missed)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def _counts(rows: Sequence[Row], most: int | None = None) -> list[str]:
    """Return the numbers of pictures that estimates are from, the fewest first."""
    every = sorted({images for row in rows for images in row["said"]}, key=int)
    return [images for images in every if most is None or int(images) <= most]


def within_table(rows: Sequence[Row]) -> str:
    """Return what the first engine loses that ``build --max-drop`` tries, in Markdown."""
    lines = ["| network | graph | work in INT8 | box loss, % | 95 % | mask loss, % | 95 % | score drift |"]
    lines.append("| --- | --- | --: | --: | --- | --: | --- | --: |")
    for row in (row for row in rows if row["variant"] == WITHIN):
        mask = _interval(row["mask_interval"])
        cells = (_network(row), row["style"].upper(), _work(row), *_losses(row), mask, _drift(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def engines_table(rows: Sequence[Row]) -> str:
    """Return what each engine loses and what is estimated of it, in Markdown."""
    head = (
        "network", "INT8 made by", "graph", "work in INT8", "box loss, %", "95 %", "mask loss, %",
        "estimate, %", "score drift",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| --- | --- | --- | --: | --: | --- | --: | --: | --: |")
    for row in rows:
        said = row["said"][str(IMAGES)]
        estimate = f"{max(said['losses'].values()) * 100:.2f}"
        cells = (row["subject"], row["variant"], row["style"].upper(), _work(row), *_losses(row), estimate)
        lines.append("| " + " | ".join((*cells, _drift(row))) + " |")
    return "\n".join(lines) + "\n"


def command_table(found: Row) -> str:
    """Return what ``build --int8 --max-drop`` ends with on each network, in Markdown."""
    head = (
        "network", "exit code", "attempts", "work in INT8", "box loss, %", "95 %", "beyond the bound",
        "mask loss, %", "95 %", "beyond the bound", "black pictures", "noise",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| --- | --: | --: | --: | --: | --- | --: | --: | --- | --: | --- | --- |")
    for row in found["rows"]:
        loss = [cell for kind in ("box", "mask") for cell in _measured(row.get(kind))]
        ends = [f"{len(row['attempts'])}", _work(row)] if "attempts" in row else ["-", "-"]
        refused = [_refused(row[kind]) for kind in ("black", "noise")]
        lines.append("| " + " | ".join((_network(row), str(row["code"]), *ends, *loss, *refused)) + " |")
    return "\n".join(lines) + "\n"


def command_times(found: Row) -> str:
    """Return how long the command takes beside an earlier version, as a sentence for each network."""
    lines = []
    for row in found["rows"]:
        for kind, name in (("wall_s", "by the clock"), ("cpu_s", "of the processor")):
            pairs = [(each["now"][kind], each["before"][kind]) for each in row.get("times", ())]
            if pairs:
                of = ", ".join(f"{now / before:.2f} ({now:.0f} of {before:.0f} s)" for now, before in pairs)
                lines.append(f"* {row['subject']}, {name}: {of}")
    return "\n".join(lines) + "\n"


def _network(row: Row) -> str:
    return str(row["subject"]) + (" (kept back)" if row["subject"] in KEPT_BACK else "")


def _measured(loss: Row | None) -> tuple[str, str, str]:
    if loss is None:
        return "-", "-", "-"
    return f"{loss['loss'] * 100:.2f}", _interval(loss["interval"]), f"{loss['beyond']:.0%}"


def _refused(ended: Row) -> str:
    if ended["code"] == 0 or ended["engine"]:
        return "an engine was made"
    return f"error, exit code {ended['code']}"


def lost(rows: Sequence[Row]) -> tuple[str, str]:
    """Return what engines within the bound lose, and on how much that was measured."""
    within = [row for row in rows if row["variant"] == WITHIN]
    box, mask = ([row[kind] * 100 for row in within if kind in row] for kind in ("box_loss", "mask_loss"))
    networks = len({row["subject"] for row in within})
    return (
        f"{min(box):.2f} to {max(box):.2f} % of boxes', {min(mask):.2f} to {max(mask):.2f} % of masks'",
        f"{len(within)} engines of {networks} networks, a processor",
    )


def _work(row: Row) -> str:
    return f"{row['work']:.1%}" if "work" in row else "-"


def _losses(row: Row) -> tuple[str, str, str]:
    mask = f"{row['mask_loss'] * 100:.2f}" if "mask_loss" in row else "-"
    return f"{row['box_loss'] * 100:.2f}", _interval(row["box_interval"]), mask


def _interval(ends: Sequence[float]) -> str:
    low, high = (f"{end * 100:.1f}" for end in ends)
    return f"{low} to {high}"


def _drift(row: Row) -> str:
    """Return the drift on images that took no part in choosing a shift; earlier rows do not tell it."""
    return f"{row['drift']:+.4f}" if "drift" in row else "-"
