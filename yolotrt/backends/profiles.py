"""Batch sizes that an engine accepts, as ``--batch`` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from yolotrt.errors import UsageError

MAX_BATCH = 1024
"""Largest batch size that is taken for a wish and not for a typing error."""


@dataclass(frozen=True, order=True)
class Profile:
    """A range of batch sizes that share their kernels.

    Attributes:
        smallest: Smallest batch size.
        best: Batch size that the kernels are chosen for.
        largest: Largest batch size; memory is sized for it.
    """

    smallest: int
    best: int
    largest: int

    @classmethod
    def fixed(cls, batch: int) -> Profile:
        """Return a profile for exactly one batch size, whose kernels suit it best."""
        return cls(batch, batch, batch)

    def __str__(self) -> str:
        if self.smallest == self.largest:
            return str(self.best)
        return f"{self.smallest}-{self.best}-{self.largest}"


def parse_profiles(text: str) -> tuple[Profile, ...]:
    """Read ``--batch``: ``1,4,8`` is one profile per size, ``1-32`` one for all sizes in between.

    A range is tuned for its largest size; ``1-8-32`` names the size it is tuned for.

    Raises:
        UsageError: It is not a list of sizes and ranges.
    """
    found = {_parse_one(part.strip()) for part in text.split(",")}
    return tuple(sorted(found))


def batch_sizes(profiles: Iterable[Profile]) -> tuple[int, ...]:
    """Return all batch sizes that the profiles cover, in order."""
    return tuple(sorted({n for p in profiles for n in range(p.smallest, p.largest + 1)}))


def _parse_one(text: str) -> Profile:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:-(\d+))?", text, re.ASCII)
    sizes = [int(n) for n in match.groups() if n is not None] if match else []
    if not sizes or sizes != sorted(sizes) or not 1 <= sizes[0] <= sizes[-1] <= MAX_BATCH:
        raise UsageError(
            f"--batch {text!r} is neither a batch size from 1 to {MAX_BATCH} nor a rising range of them.",
            hint="Give sizes (--batch 1,4,8,16,32), or a range with the size to tune for (--batch 1-8-32).",
        )
    if len(sizes) == 2:
        sizes.insert(1, sizes[1])
    return Profile(sizes[0], sizes[len(sizes) // 2], sizes[-1])
