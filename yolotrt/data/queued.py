"""A frame that waits for its turn, and what was counted on the way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolotrt.data.video_file import Moment
from yolotrt.data.yuv import AnyFrame


@dataclass(frozen=True)
class Queued:
    """A frame that waits.

    Attributes:
        frame: (h, w, 3) uint8 BGR on the host, or as a GPU decoded it.
        read_ns: When it was read, ns of the clock.
        moment: When it is shown; where the source does not say it, when it was read.
        source: Which of several sources it is of.
    """

    frame: AnyFrame
    read_ns: int
    moment: Moment
    source: int = 0


@dataclass(frozen=True)
class FeedCounts:
    """What a feed has seen.

    Attributes:
        read: Frames that came from the source at the wanted rate.
        skipped: Frames of a live source that came sooner than that.
        dropped: Frames read that were thrown away because newer ones came.
        interruptions: Times that a live source stopped giving frames.
        reconnects: Times that it was opened again.
        longest_gap_s: Longest time between two frames, seconds.
        sizes: Frame sizes in px, in the order in which they first came.
    """

    read: int = 0
    skipped: int = 0
    dropped: int = 0
    interruptions: int = 0
    reconnects: int = 0
    longest_gap_s: float = 0.0
    sizes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def together(cls, found: Sequence[FeedCounts]) -> FeedCounts:
        """Return what several have seen; the longest gap is the longest of any."""
        return cls(
            **{
                name: sum(getattr(counts, name) for counts in found)
                for name in ("read", "skipped", "dropped", "interruptions", "reconnects")
            },
            longest_gap_s=max(counts.longest_gap_s for counts in found),
            sizes=tuple(dict.fromkeys(size for counts in found for size in counts.sizes)),
        )
