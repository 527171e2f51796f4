"""Where each feature map lies: maps that are never needed at the same time share memory."""

from __future__ import annotations

from yolotrt.backends.fused.parts import round_up
from yolotrt.backends.fused.steps import Network

GRAIN = 256
"""Maps begin at multiples of this many bytes, for every batch size."""


def lifetimes(network: Network) -> dict[int, tuple[int, int]]:
    """Return the first step that writes each map and the last that uses it.

    What is used by the steps that run ahead is used during all of them: some images may be at the last of
    these while others are at the first.
    """
    spans: dict[int, tuple[int, int]] = {}
    for i, step in enumerate(network.steps):
        for index in (*step.writes(), *step.reads()):
            first, _ = spans.get(index, (i, i))
            spans[index] = (first, i)
            if i < network.ahead:
                spans[index] = (0, network.ahead - 1)
    return spans


def place(network: Network) -> None:
    """Fill the network's offsets and the size of its arena, the largest maps first."""
    spans = lifetimes(network)
    placed: list[tuple[int, int, int]] = []  # offset, end, map
    offsets = [0] * len(network.maps)
    for index in sorted(spans, key=lambda m: -network.maps[m].nbytes):
        size = round_up(network.maps[index].nbytes, GRAIN)
        busy = sorted((o, e) for o, e, other in placed if _meet(spans[index], spans[other]))
        at = 0
        for begin, end in busy:
            if begin - at >= size:
                break
            at = max(at, end)
        offsets[index] = at
        placed.append((at, at + size, index))
    network.offsets = offsets
    network.arena_nbytes = max((end for _, end, _ in placed), default=0)


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
