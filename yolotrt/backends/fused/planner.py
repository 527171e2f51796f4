"""From an ONNX network to fused steps on feature maps in one arena."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.backends.fused import arena
from yolotrt.backends.fused.attention import find_blocks
from yolotrt.backends.fused.frame_stem import steps_ahead
from yolotrt.backends.fused.graph import NetworkGraph
from yolotrt.backends.fused.grow import fuse_growth
from yolotrt.backends.fused.lowering import Lowering, refusal_of
from yolotrt.backends.fused.plan_import import Importer
from yolotrt.backends.fused.plan_passes import fuse_chains, materialize, merge_siblings, place
from yolotrt.backends.fused.steps import (
    Network,
)
from yolotrt.backends.fused.tail import find_tail
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import onnx


def plan(model: onnx.ModelProto, spec: ModelSpec) -> Network:
    """Plan a network.

    Args:
        model: The network, its layers in FP16 or FP32; the engine computes in FP16 in any case.
        spec: Its interface.

    Raises:
        BuildError: It holds an operator, or uses one in a way, that no fused step computes.
    """
    graph = NetworkGraph(model)
    tail = find_tail(graph, spec)
    blocks = find_blocks(graph, set(tail.nodes))
    draft = Importer(graph, spec.input_name, blocks, set(tail.nodes)).run()
    ends = [name for level in tail.levels for name in (level.boxes, level.scores, level.coeffs)]
    for name in (*ends, spec.proto_output):
        value = draft.values.get(name, ())
        if not draft.is_one_tensor(value):
            raise refusal_of(spec, f"its output {name} is not what one layer writes")
        draft.outputs.add(value[0].tensor)
    merge_siblings(draft)
    fuse_chains(draft)
    fuse_growth(draft)
    homes = place(draft)
    materialize(draft, homes)
    network = Lowering(draft, homes, tail, spec, graph).run()
    network.ahead = steps_ahead(network)
    arena.place(network)
    return network
