"""Reading ONNX files: load safely, hash the content, find out what the network is."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.errors import ModelError
from yolotrt.model.spec import Head, ModelSpec

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1
"""Protobuf's limit."""

MAX_SIDE = 16_384
"""Largest input size, batch size and number of mask coefficients."""

MAX_CELLS = 2**24
"""Largest number of anchors, detections or channels."""

MAX_BRACKETS = 64
"""A class list has two brackets; apostrophes in names may uncover some more."""

MAX_METADATA_CHARS = 1_000_000
"""Longest metadata value that is parsed; class lists are a few kilobytes."""

NOT_SEGMENTATION = (
    "Export a segmentation model, for example: yolotrt export yolo11n-seg.pt "
    "(detection, pose and classification models have no prototype masks)."
)


def load_onnx(path: Path) -> onnx.ModelProto:
    """Load and check an ONNX file.

    Weights in other files are refused: the path to them is the author's choice, and what is hashed, copied
    and cached here is one file.

    Raises:
        InputError: The file is missing, a directory or unreadable.
        ModelError: It is not an ONNX file, it is truncated, or its weights lie in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    require_file(path, "an ONNX file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is larger than 2 GB, protobuf's limit")
        model = onnx.load_model_from_string(path.read_bytes())
        _require_whole(model, path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as exc:
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise ModelError(
            f"{path} is not a valid ONNX model ({reason}).",
            hint="It may be truncated or of another format; export it again: yolotrt export WEIGHTS.pt",
        ) from exc
    return model


def require_whole(data: bytes, path: Path) -> bytes:
    """Return a network's bytes if it reads no other file, at next to no cost where that is plain.

    Raises:
        ModelError: Its weights lie in other files.
    """
    if b"location" in data:  # the key under which ONNX names another file
        import onnx
        from google.protobuf.message import DecodeError

        with contextlib.suppress(DecodeError):  # the runtime says better what is wrong with it
            _require_whole(onnx.load_model_from_string(data), path)
    return data


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


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's metadata properties."""
    return {p.key: p.value for p in model.metadata_props}


def read_spec(model: onnx.ModelProto, name: str) -> ModelSpec:
    """Read the interface of a YOLO-seg network from its inputs, outputs and metadata.

    The head is recognised by its shape and not by a metadata flag: ``raw`` ends in one column per
    anchor, ``end2end`` in 6 + coefficients values per detection.

    Args:
        model: The network.
        name: Name for tables and file names, used when the metadata has none.

    Raises:
        ModelError: It is not a segmentation network with a fixed input size.
    """
    inputs = _graph_inputs(model)
    if len(inputs) != 1 or len(inputs[0][1]) != 4 or inputs[0][1][1] != 3:
        raise ModelError(
            f"{name} does not take one batch of RGB images: its inputs are {_describe(inputs)}.",
            hint=NOT_SEGMENTATION,
        )
    input_name, (batch, _, height, width) = inputs[0]
    if not isinstance(height, int) or not isinstance(width, int):
        raise ModelError(
            f"{name} has a dynamic height or width; yolotrt needs a fixed input size.",
            hint="Export it with: yolotrt export WEIGHTS.pt --imgsz 640",
        )
    sizes = (width, height, 1 if isinstance(batch, str) else batch)
    if not all(0 < size <= MAX_SIDE for size in sizes):
        raise ModelError(
            f"{name} takes images of {width}x{height} px in batches of {batch}, which cannot be.",
            hint="Export it with: yolotrt export WEIGHTS.pt --imgsz 640",
        )
    outputs = [(o.name, _dims(o)) for o in model.graph.output]
    heads = [o for o in outputs if len(o[1]) == 3]
    protos = [o for o in outputs if len(o[1]) == 4]
    if len(outputs) != 2 or len(heads) != 1 or len(protos) != 1:
        raise ModelError(
            f"{name} is not a YOLO segmentation model: its outputs are {_describe(outputs)}, expected a "
            "detection head (3 dimensions) and prototype masks (4 dimensions).",
            hint=NOT_SEGMENTATION,
        )
    coeffs = protos[0][1][1]
    rows, columns = heads[0][1][1], heads[0][1][2]
    if not (isinstance(coeffs, int) and isinstance(rows, int) and isinstance(columns, int)):
        raise ModelError(
            f"{name} has outputs of unknown size: {_describe(outputs)}.",
            hint="Export it with: yolotrt export WEIGHTS.pt --imgsz 640",
        )
    if not (0 < coeffs <= MAX_SIDE and 0 < rows <= MAX_CELLS and 0 < columns <= MAX_CELLS):
        raise ModelError(f"{name} has outputs that cannot be: {_describe(outputs)}.", hint=NOT_SEGMENTATION)
    properties = metadata(model)
    stride = _int_property(properties, "stride", 32)
    head, classes = _head_of(rows, columns, coeffs, (width, height), name)
    return ModelSpec(
        name=properties.get("name", name),
        names=_class_names(properties.get("names"), classes, name),
        input_name=input_name,
        input_wh=(width, height),
        batch=batch if isinstance(batch, int) else None,
        head=head,
        head_output=heads[0][0],
        proto_output=protos[0][0],
        mask_coeffs=coeffs,
        stride=stride,
    )


def _head_of(
    rows: int, columns: int, coeffs: int, input_wh: tuple[int, int], name: str
) -> tuple[Head, int | None]:
    """Return the head and its number of classes (None where the shape does not tell)."""
    width, height = input_wh
    anchors = sum((width // s) * (height // s) for s in (8, 16, 32))
    if columns == anchors and rows > 4 + coeffs:
        return "raw", rows - 4 - coeffs
    if columns == 6 + coeffs:
        return "end2end", None
    raise ModelError(
        f"{name} has a detection head of {rows} x {columns}, which is neither "
        f"(4 + classes + {coeffs}) x {anchors} nor detections x {6 + coeffs}.",
        hint=NOT_SEGMENTATION,
    )


def _class_names(text: str | None, classes: int | None, model_name: str) -> tuple[str, ...]:
    """Parse Ultralytics' ``names`` property, a Python literal ``{0: 'person', ...}``."""
    if text is None:
        return tuple(f"class{i}" for i in range(classes or 0))
    value: Any = None
    # Python's parser recurses: a flat list needs few brackets and signs outside its texts.
    flat = re.sub(r"'[^']*'|\"[^\"]*\"", "", text[: MAX_METADATA_CHARS + 1])
    if len(text) <= MAX_METADATA_CHARS and sum(map(flat.count, "([{+-~")) <= MAX_BRACKETS:
        with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            value = ast.literal_eval(text)
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    good = (
        isinstance(value, dict)
        and all(isinstance(k, int) and isinstance(v, str) for k, v in value.items())
        and sorted(value) == list(range(len(value)))
        and classes in (None, len(value))
    )
    if not good:
        raise ModelError(
            f"{model_name} carries a class list that does not fit its head.",
            hint="Export it again: yolotrt export WEIGHTS.pt",
        )
    return tuple(value[i] for i in range(len(value)))


def _int_property(properties: dict[str, str], key: str, default: int) -> int:
    text = properties.get(key, "")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,4}", text) else default


def _graph_inputs(model: onnx.ModelProto) -> list[tuple[str, list[int | str]]]:
    weights = {i.name for i in model.graph.initializer}
    return [(i.name, _dims(i)) for i in model.graph.input if i.name not in weights]


def _dims(value: onnx.ValueInfoProto) -> list[int | str]:
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in shape.dim]


def _describe(values: list[tuple[str, list[int | str]]]) -> str:
    return ", ".join(f"{n} [{', '.join(map(str, d))}]" for n, d in values) or "none"
