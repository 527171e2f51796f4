"""A graph's nodes in an order in which they can be computed, each with a name of its own.

ONNX demands the order, and exporters to half precision break it; ONNX Runtime sorts without a word, other
readers refuse. Names are optional in ONNX, but here everything that is said about a layer is said by name.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from yolotrt.model.interface import all_nodes, reads, subgraphs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def sort_nodes(model: onnx.ModelProto) -> None:
    """Put the nodes of all graphs and functions in topological order, if they are not and there is one.

    Nodes that do not depend on each other stay in the order that they have.
    """
    for node in all_nodes(model):
        for graph in subgraphs(node):
            _sort(graph.node)
    for function in model.functions:
        _sort(function.node)
    _sort(model.graph.node)


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node of the main graph that has none, or that of another node, a name of its own."""
    taken = {node.name for node in model.graph.node}
    seen: set[str] = {""}
    for node in model.graph.node:
        if node.name in seen:
            base = name = f"{node.op_type} of {next(filter(None, node.output), '')}"
            count = 1
            while name in taken:
                count += 1
                name = f"{base} ({count})"
            taken.add(name)
            node.name = name
        seen.add(node.name)


def _sort(nodes: onnx.NodeProto) -> None:
    """Sort a repeated field of nodes in place."""
    places = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{places[name] for name in reads(node) if name in places} for node in nodes]
    if all(max(need, default=-1) < i for i, need in enumerate(needs)):
        return
    order = _topological(needs)
    if len(order) < len(needs):  # a cycle, which the checker names
        return
    ordered = [type(nodes[i]).FromString(nodes[i].SerializeToString()) for i in order]
    del nodes[:]
    nodes.extend(ordered)


def _topological(needs: Sequence[set[int]]) -> list[int]:
    """Return the items whose needs can all be met, each after what it needs."""
    waiting = [len(need) for need in needs]
    readers: list[list[int]] = [[] for _ in needs]
    for i, need in enumerate(needs):
        for j in need:
            readers[j].append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for reader in readers[i]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return order
