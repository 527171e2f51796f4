"""Which tiles of a frame run: all, those that touch drawn regions, those where something may have changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.geometry.regions import Regions
    from yolotrt.geometry.tiles import TileGrid

REFRESH = 15
"""Frames after which every tile has been looked at again, unless asked otherwise: half a second of 30 fps."""

_HINT = "Like this: --tiles adaptive, adaptive:30, roi:lane.json, or adaptive,roi:lane.json"

_BEHIND_A_FILE = re.compile(r"(roi:.+),(all|adaptive(?::\d+)?)")
"""A file's name may hold commas, too."""


@dataclass(frozen=True)
class Adaptive:
    """How tiles are chosen frame by frame; see :mod:`yolotrt.pipeline.choosing`.

    Attributes:
        refresh: Every tile is looked at at least every so many frames, whatever happens: what nothing else
            gives away is found by then at the latest.
        all_above: Part of the tiles above which all of them run: little is saved, and the plain way is surer.

    Raises:
        UsageError: A value is out of range.
    """

    refresh: int = REFRESH
    all_above: float = 0.5

    def __post_init__(self) -> None:
        if not (1 <= self.refresh <= 10_000 and 0 < self.all_above <= 1):
            raise UsageError(
                f"Looking at every tile at least every {self.refresh} frames, and at all above "
                f"{self.all_above:g} of them, makes no sense.",
                hint=_HINT,
            )


@dataclass(frozen=True)
class TileChoice:
    """Which tiles of a frame run.

    Attributes:
        regions: Only tiles that touch these; None for the whole frame.
        adaptive: Of those, only tiles where something may have changed; None for all.
    """

    regions: Regions | None = None
    adaptive: Adaptive | None = None

    @classmethod
    def parse(cls, text: str) -> TileChoice:
        """Read ``all``, ``adaptive``, ``adaptive:N``, ``roi:FILE``, or two of them with a comma.

        Raises:
            UsageError: It is none of these.
            InputError: The file cannot be read, or holds no polygons.
        """
        regions, adaptive = None, None
        for word in _words(text):
            name, _, value = word.strip().partition(":")
            if name == "all" and not value:
                continue
            if name == "adaptive" and (not value or value.isdecimal()):
                adaptive = Adaptive(int(value)) if value else Adaptive()
            elif name == "roi" and value:
                from yolotrt.data.regions import read_regions

                regions = read_regions(Path(value))
            else:
                raise UsageError(f"--tiles {text!r} is unknown.", hint=_HINT)
        return cls(regions, adaptive)

    def of(self, grid: TileGrid) -> TileGrid:
        """Return the tiles that may run, of all tiles of a frame.

        Raises:
            UsageError: None touches the regions.
        """
        return grid if self.regions is None else self.regions.of(grid)

    def require_tiled(self, *modes: str) -> None:
        """Refuse a choice of tiles where no mode has any.

        Raises:
            UsageError: So it is.
        """
        if self != ALL_TILES and not any("tiled" in mode for mode in modes):
            raise UsageError(
                f"Which tiles run (--tiles {self.words}) means nothing without tiles.",
                hint="Use --mode tiled+global or tiled.",
            )

    @property
    def words(self) -> str:
        """As on the command line."""
        parts = [] if self.adaptive is None else [f"adaptive:{self.adaptive.refresh}"]
        parts += [] if self.regions is None else [f"roi:{self.regions.label}"]
        return ",".join(parts) or "all"


def regions_file(text: str) -> Path | None:
    """Return the file that ``--tiles`` names, if it does."""
    return next((Path(word.strip()[4:]) for word in _words(text) if word.strip().startswith("roi:")), None)


def _words(text: str) -> list[str]:
    """Return the parts of ``--tiles``: no more than one of them names a file."""
    if (both := _BEHIND_A_FILE.fullmatch(text)) is not None:
        return [both[2], both[1]]
    return [text] if text.startswith("roi:") else text.split(",", 1)


ALL_TILES = TileChoice()
