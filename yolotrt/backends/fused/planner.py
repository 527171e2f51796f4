"""From an ONNX network to fused steps on feature maps in one arena."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from yolotrt.backends.fused import arena
from yolotrt.backends.fused.attention import find_blocks
from yolotrt.backends.fused.frame_stem import steps_ahead
from yolotrt.backends.fused.graph import NetworkGraph
from yolotrt.backends.fused.grow import fuse_growth
from yolotrt.backends.fused.lowering import Lowering
from yolotrt.backends.fused.plan_import import Importer
from yolotrt.backends.fused.plan_passes import fuse_chains, fuse_sums, materialize, merge_siblings, place
from yolotrt.backends.fused.precision import Forms, refused, settle, traffic
from yolotrt.backends.fused.steps import (
    Network,
)
from yolotrt.backends.fused.tail import find_tail, refusal_of
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import onnx


def plan(model: onnx.ModelProto, spec: ModelSpec, chosen: Collection[str] | None = None) -> Network:
    """Plan a network.

    Args:
        model: The network, its layers in FP16 or FP32, some perhaps INT8 by Q/DQ. The engine computes in FP16
            what is not INT8.
        spec: Its interface.
        chosen: Steps that are INT8, by name; None takes all that can be.

    Raises:
        BuildError: It holds an operator, or uses one in a way, that no fused step computes.
    """
    return NetworkPlan(model, spec).network(chosen)


class NetworkPlan:
    """A network with everything decided but which layers are INT8.

    Args:
        model: See :func:`plan`.
        spec: See :func:`plan`.

    Attributes:
        refused: The convolutions that cannot be INT8, by name, with the reason.
        possible: Those that can.

    Raises:
        BuildError: See :func:`plan`.
    """

    def __init__(self, model: onnx.ModelProto, spec: ModelSpec) -> None:
        self._spec, self._graph = spec, NetworkGraph(model)
        graph = self._graph
        self._tail = tail = find_tail(graph, spec)
        blocks = find_blocks(graph, set(tail.nodes))
        self._draft = draft = Importer(graph, spec.input_name, blocks, set(tail.nodes)).run()
        ends = [name for level in tail.levels for name in (level.boxes, level.scores, level.coeffs)]
        for name in (*ends, spec.proto_output):
            value = draft.values.get(name, ())
            if not draft.is_one_tensor(value):
                raise refusal_of(spec, f"its output {name} is not what one layer writes")
            draft.outputs.add(value[0].tensor)
        merge_siblings(draft)
        fuse_chains(draft)
        fuse_growth(draft)
        fuse_sums(draft)
        self._homes = place(draft)
        materialize(draft, self._homes)
        self.refused = refused(draft)
        self.possible = [op.name for op in draft.ops if op.kind == "conv" and op.name not in self.refused]

    def network(self, chosen: Collection[str] | None = None) -> Network:
        """Return the network, placed in its arena; see :func:`plan` for ``chosen``."""
        forms = self.forms(chosen)
        network = Lowering(self._draft, self._homes, self._tail, self._spec, self._graph, forms).run()
        network.rounded = bool(set(self.possible if chosen is None else chosen) & set(self.possible))
        network.ahead = steps_ahead(network)
        arena.place(network)
        return network

    def forms(self, chosen: Collection[str] | None = None) -> Forms:
        """Return in which form the network's tensors are kept; see :func:`plan` for ``chosen``."""
        return settle(self._draft, self.possible if chosen is None else chosen)

    def readers(self) -> dict[int, list[str]]:
        """Return which steps that may be INT8 read each tensor."""
        possible = set(self.possible)
        return {
            tensor: [op.name for op in ops if op.name in possible]
            for tensor, ops in self._draft.readers().items()
        }

    def traffic(self, chosen: Collection[str] | None = None) -> dict[str, int]:
        """Return the bytes that each step moves for one image, weights left out."""
        return traffic(self._draft, self.forms(chosen))
