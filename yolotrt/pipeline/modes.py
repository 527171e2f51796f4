"""Which passes look at a frame; imports no other module, so that ``--help`` can name them."""

from __future__ import annotations

from typing import Literal

PassMode = Literal["tiled", "global", "tiled+global"]
PASS_MODES: tuple[PassMode, ...] = ("tiled", "global", "tiled+global")

DEFAULT_MODE: PassMode = "tiled+global"
"""What runs unless another mode is named: small objects are in the tiles, large ones in the frame."""

COMPARED_MODES: tuple[PassMode, ...] = ("global", "tiled", "tiled+global")
"""What a benchmark shows unless others are named: each pass alone, and the frame as it is run."""
