"""Tables of what the estimate of ``build --max-drop`` gets right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BOUNDS = (0.005, 0.01, 0.02, 0.05)


def errors(rows: Sequence[dict[str, Any]], images: str, bound: float) -> dict[str, int]:
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


def errors_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return false refusals and misses by bound and number of images, in Markdown."""
    lines = ["| bound | images looked at | good engines | refused of them | bad engines | missed of them |"]
    lines.append("| --- | --: | --: | --: | --: | --: |")
    for bound in BOUNDS:
        for images in rows[0]["said"]:
            counts = errors(rows, images, bound)
            cells = (f"{bound * 100:g} %", images, *counts.values())
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def engines_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what each engine loses and what is estimated of it, in Markdown."""
    lines = [
        "| network | INT8 made by | graph | box loss, % | 95 % | mask loss, % | estimate, % | score drift |"
    ]
    lines.append("| --- | --- | --- | --: | --- | --: | --: | --: |")
    for row in rows:
        said = row["said"][max(row["said"], key=int)]
        low, high = (f"{end * 100:.1f}" for end in row["box_interval"])
        cells = (
            row["subject"],
            row["variant"],
            row["style"].upper(),
            f"{row['box_loss'] * 100:.2f}",
            f"{low} to {high}",
            f"{row['mask_loss'] * 100:.2f}" if "mask_loss" in row else "-",
            f"{max(said['losses'].values()) * 100:.2f}",
            f"{said['figures']['score drift']:+.4f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
