"""Which launches may run side by side, and what each has to wait for."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.backends.fused.steps import Network

MOST_STREAMS = 4


@dataclass(frozen=True)
class Turn:
    """When a launch runs.

    Attributes:
        stream: Where; 0 is the caller's.
        waits: Launches of other streams that must have ended.
    """

    stream: int
    waits: tuple[int, ...]


def schedule(network: Network, streams: int = MOST_STREAMS) -> list[Turn]:
    """Deal the network's steps out to streams.

    A step follows one that it depends on if that is the last of its stream, so that chains stay together;
    otherwise it takes a stream whose work it depends on least. Memory counts as a dependency: maps share it.

    Args:
        network: The network, placed in its arena.
        streams: At most so many at a time.
    """
    needed = dependencies(network)
    last: list[int] = [-1] * streams  # the last step of each stream
    turns: list[Turn] = []
    behind: list[list[int]] = []  # for each step: the last step of each stream that it comes after
    for i, before in enumerate(needed):
        ends = [s for s in range(streams) if last[s] in before]
        free = [s for s in range(streams) if last[s] < 0]
        if ends:
            stream = max(ends, key=lambda s: last[s])
        elif not before and i == 0:
            stream = 0
        else:
            stream = free[0] if free else min(range(streams), key=lambda s: last[s])
        known = list(behind[last[stream]]) if last[stream] >= 0 else [-1] * streams
        if last[stream] >= 0:
            known[stream] = last[stream]
        waits = []
        for j in sorted(before, reverse=True):
            at = turns[j].stream
            if j <= known[at]:
                continue
            if at != stream:
                waits.append(j)
            known = [max(a, b) for a, b in zip(known, behind[j], strict=True)]
            known[at] = max(known[at], j)
        turns.append(Turn(stream, tuple(waits)))
        behind.append(known)
        last[stream] = i
    return turns


def dependencies(network: Network) -> list[set[int]]:
    """Return for each step those before it that must have ended: it reads, or overwrites, what they use."""
    spans = [(offset, offset + m.nbytes) for offset, m in zip(network.offsets, network.maps, strict=True)]

    def meet(a: int, b: int) -> bool:
        return a == b or (spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1])

    found: list[set[int]] = []
    for i, step in enumerate(network.steps):
        before: set[int] = set()
        for j in range(i):
            other = network.steps[j]
            reads = any(meet(a, b) for a in step.reads() for b in other.writes())
            # Two steps may write their own channels of one map at the same time.
            writes = any(a != b and meet(a, b) for a in step.writes() for b in other.writes())
            frees = any(meet(a, b) for a in step.writes() for b in other.reads())
            if reads or writes or frees:
                before.add(j)
        found.append(before)
    return found
