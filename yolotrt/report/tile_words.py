"""How tiles were chosen, in words."""

from __future__ import annotations

from yolotrt.pipeline.tile_use import TileUse


def tile_words(use: TileUse) -> str:
    """Return how many tiles ran, why, and within how many frames every tile was looked at again."""
    part = f"{use.on_average:.1f} of {use.tiles} on average"
    often = f"all of them in {use.all} of {use.frames} frames"
    why = ", ".join(f"{reason} {count / max(use.frames, 1):.1f}" for reason, count in use.reasons.items())
    return f"{part}, {often}; each at least every {use.bound} frames (longest {use.waited}); {why} a frame"
