"""Reading ONNX files: load safely, hash the content, find out what the network is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.errors import ModelError
from yolotrt.model.interface import all_nodes
from yolotrt.model.interface import metadata as metadata
from yolotrt.model.reading import read_spec as read_spec
from yolotrt.model.wire import Outlined, mentions

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1
"""Protobuf's limit."""

LOOPS = ("Loop", "Scan")
"""Operators that repeat a part of the network as often as the file says: for ever, if it says so."""


def load_onnx(path: Path) -> onnx.ModelProto:
    """Load and check an ONNX file, and bring it into the shape of ours (:mod:`yolotrt.model.adapt`).

    Weights in other files are refused: the path to them is the author's choice, and what is hashed, copied
    and cached here is one file. So are loops: a network with one may never end, and a runtime that is in it
    cannot be stopped.

    Raises:
        InputError: The file is missing, a directory or unreadable.
        ModelError: It is not an ONNX file, it is truncated, its weights lie in other files, or it loops.
    """
    import onnx
    from google.protobuf.message import DecodeError

    # What only loads an engine does without these.
    from yolotrt.model.adapt import adapted
    from yolotrt.model.order import sort_nodes

    require_file(path, "an ONNX file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is larger than 2 GB, protobuf's limit")
        model = onnx.load_model_from_string(path.read_bytes())
        _require_whole(model, path)
        _require_end(model, path)
        sort_nodes(model)
        onnx.checker.check_model(model)
        return adapted(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as exc:
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        damage = "It may be truncated or of another format"
        if "topologically sorted" in reason:  # though it was sorted
            damage = "Some nodes need each other's results, or a tensor that nothing makes"
        raise ModelError(
            f"{path} is not a valid ONNX model ({reason}).",
            hint=f"{damage}; export it again: yolotrt export WEIGHTS.pt",
        ) from exc


def require_whole(data: bytes, outlined: Outlined, path: Path) -> None:
    """Refuse a network that reads other files or may never end, at next to no cost where neither can be.

    Args:
        data: The network.
        outlined: What :func:`yolotrt.model.wire.outline` left of it.
        path: Where it was read.

    Raises:
        ModelError: Its weights lie in other files, or it loops.
    """
    # The key under which ONNX names another file, and the names of what repeats.
    elsewhere = any(b"location" in part for part in outlined)
    if elsewhere or mentions(outlined.network, tuple(name.encode() for name in LOOPS)):
        import onnx
        from google.protobuf.message import DecodeError

        with contextlib.suppress(DecodeError):  # the runtime says better what is wrong with it
            model = onnx.load_model_from_string(data)
            _require_whole(model, path)
            _require_end(model, path)


def _require_end(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a network that repeats a part of itself."""
    for node in all_nodes(model):
        if node.op_type in LOOPS:
            raise ModelError(
                f"{path} holds a {node.op_type} ({node.name or node.output[0]!r:.80}), which may never end; "
                "yolotrt runs only networks without loops.",
                hint="Export it again without suppression or other loops inside: yolotrt export WEIGHTS.pt",
            )


def _require_whole(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a network that reads other files: external weights, in whatever graph or attribute they hide."""
    from onnx.external_data_helper import uses_external_data

    for tensor in _tensors(model):
        if uses_external_data(tensor):
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "?")
            raise ModelError(
                f"{path} keeps the weights {tensor.name!r} in another file ({where!r:.80}); yolotrt reads "
                "only networks that are one file.",
                hint="Join them: python -c \"import onnx; onnx.save(onnx.load('IN.onnx'), 'OUT.onnx')\"",
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that a model holds, those of nested graphs and functions too."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [g for g in (attribute.g, *attribute.graphs) if g.node or g.initializer]


def onnx_key(model: onnx.ModelProto) -> str:
    """Return a sha256 of the network itself: graph, weights and opsets, without metadata.

    Exporters stamp dates and versions into metadata and doc strings; two exports of the same weights
    differ there and have the same key here.
    """
    import onnx

    bare = onnx.ModelProto()
    bare.graph.CopyFrom(model.graph)
    bare.graph.doc_string = ""
    bare.graph.name = ""
    for node in bare.graph.node:
        node.doc_string = ""
    del bare.graph.metadata_props[:]
    bare.ir_version = model.ir_version
    bare.opset_import.extend(sorted(model.opset_import, key=lambda o: o.domain))
    bare.functions.extend(model.functions)
    return sha256_bytes(bare.SerializeToString(deterministic=True))
