"""From a network's interface to what the toolkit needs to know about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

from yolotrt.errors import ModelError
from yolotrt.model.heads import Evidence, Form, FoundHead, evidence_of, has_own_nms, recognise
from yolotrt.model.interface import Interface, Port, described, interface_of
from yolotrt.model.names import class_names
from yolotrt.model.spec import MAX_SIDE, MIN_SIDE, Head, ModelSpec

if TYPE_CHECKING:
    import onnx

MAX_CELLS = 2**24
"""Largest number of anchors, detections or channels."""

FLOATS = ("float", "float16", "bfloat16", "double")
"""Types of numbers that can be brought to FP32 and back."""

NOT_SEGMENTATION = (
    "Export a segmentation model, for example: yolotrt export yolo11n-seg.pt "
    "(detection, pose and classification models have no prototype masks)."
)

FIXED_SIZE = "Export it with: yolotrt export WEIGHTS.pt --imgsz 640"

OTHER_TASKS = ("detect", "pose", "obb", "classify", "semantic", "depth")
"""What Ultralytics' ``task`` says of models that find no instances' masks."""


def read_spec(model: onnx.ModelProto, name: str) -> ModelSpec:
    """Read the interface of a YOLO-seg network from its graph and metadata.

    Args:
        model: The network.
        name: Name for tables and file names, used when the metadata has none.

    Raises:
        ModelError: It is not a segmentation network with a fixed input size.
    """
    from yolotrt.model.suppression import least_score

    return read_interface(interface_of(model), name, own_nms=least_score(model))


def read_interface(
    interface: Interface, name: str, *, known: Head | None = None, own_nms: float | None = None
) -> ModelSpec:
    """Read what a network is from its interface alone, as far as that tells.

    Args:
        interface: The network's.
        name: As for :func:`read_spec`.
        known: The head as it was found when the network could be looked into; it decides where the
            interface fits two.
        own_nms: As in :class:`ModelSpec`, if the graph was searched for it.

    Raises:
        ModelError: As for :func:`read_spec`, and a transposed head.
    """
    image = image_input(interface, name)
    batch, _, height, width = image.dims
    head, protos, found = outputs_of(interface, name, known)
    if found.form == "transposed":
        raise ModelError(
            f"{name} has a transposed raw head, {head}; here it is read as (4 + classes + coefficients, "
            "anchors).",
            hint="Build the engine from the ONNX file with yolotrt build, which turns it round.",
        )
    properties = interface.properties
    if (
        own_nms is None
        and interface.operators is None
        and found.form == "end2end"
        and has_own_nms(properties)
    ):
        own_nms = 0.0
    return ModelSpec(
        name=properties.get("name", name),
        names=class_names(properties.get("names"), found.classes, name),
        input_name=image.name,
        input_wh=(_whole(width), _whole(height)),
        batch=batch if isinstance(batch, int) else None,
        head=found.form,
        head_output=head.name,
        proto_output=protos.name,
        mask_coeffs=_whole(protos.dims[1]),
        stride=found.stride or _int_property(properties, "stride", 32),
        own_nms=own_nms,
    )


def image_input(interface: Interface, name: str) -> Port:
    """Return the input that takes pictures: (batch, 3, height, width) of a float type.

    Raises:
        ModelError: There is none, there are others too, or its size is not fixed.
    """
    inputs = interface.inputs
    if len(inputs) != 1 or len(inputs[0].dims) != 4 or inputs[0].dims[1] != 3:
        last = len(inputs) == 1 and len(inputs[0].dims) == 4 and inputs[0].dims[3] == 3
        raise ModelError(
            f"{name} does not take one batch of RGB images{' with the channels first' if last else ''}: "
            f"its inputs are {described(inputs)}.",
            hint="Export it with the channels first: (batch, 3, height, width)."
            if last
            else NOT_SEGMENTATION,
        )
    image = inputs[0]
    batch, _, height, width = image.dims
    if image.kind not in FLOATS:
        raise ModelError(
            f"{name} takes its pictures as {image.kind}; yolotrt gives RGB in [0, 1] as floating-point "
            "numbers.",
            hint="Export it with a float input: yolotrt export WEIGHTS.pt",
        )
    if not isinstance(height, int) or not isinstance(width, int):
        raise ModelError(
            f"{name} has a dynamic height or width; yolotrt needs a fixed input size.", hint=FIXED_SIZE
        )
    count = 1 if isinstance(batch, str) else batch
    if min(width, height) < MIN_SIDE or count < 1 or max(width, height, count) > MAX_SIDE:
        raise ModelError(
            f"{name} takes images of {width}x{height} px in batches of {batch}, which cannot be.",
            hint=FIXED_SIZE,
        )
    return image


def outputs_of(interface: Interface, name: str, known: Form | None = None) -> tuple[Port, Port, FoundHead]:
    """Return detection head, prototypes, and what the head is; other outputs do not matter.

    Raises:
        ModelError: There are no such two outputs, or the head cannot be used.
    """
    heads = [o for o in interface.outputs if len(o.dims) == 3]
    protos = _prototypes(interface)
    if not protos or not heads:
        task = interface.properties.get("task", "")
        what = f"is a model for another task ({task!r:.20}), " if task in OTHER_TASKS else "is "
        raise ModelError(
            f"{name} {what}not a YOLO segmentation model: its outputs are {described(interface.outputs)}, "
            "expected a detection head (3 dimensions) and prototype masks (4 dimensions).",
            hint=NOT_SEGMENTATION,
        )
    evidence = evidence_of(interface, known)
    fitting: list[tuple[Port, Port, FoundHead]] = []
    refusal: ModelError | None = None
    for head, maps in product(heads, protos):
        try:
            fitting.append((head, maps, _recognised(interface, head, maps, evidence, name)))
        except ModelError as exc:
            refusal = refusal or exc
    if len(fitting) > 1:  # further maps, of which one leaves as many classes as there are names
        fitting = [found for found in fitting if found[2].classes == evidence.names]
    if len(fitting) == 1:
        return fitting[0]
    if refusal is not None and len(heads) == len(protos) == 1:
        raise refusal
    raise ModelError(
        f"{name} is not a YOLO segmentation model with one detection head: its outputs are "
        f"{described(interface.outputs)}.",
        hint=NOT_SEGMENTATION,
    )


def _prototypes(interface: Interface) -> list[Port]:
    """Return what may be the prototypes: among several maps those of a quarter of the input's size."""
    maps = [o for o in interface.outputs if len(o.dims) == 4]
    if len(maps) < 2:
        return maps
    quarter = tuple(side // 4 if isinstance(side, int) else side for side in interface.inputs[0].dims[2:])
    return [o for o in maps if o.dims[2:] == quarter]


def _recognised(interface: Interface, head: Port, protos: Port, evidence: Evidence, name: str) -> FoundHead:
    sizes = (*head.dims[1:], *protos.dims[1:])
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(
            f"{name} has outputs of unknown size: {described(interface.outputs)}.", hint=FIXED_SIZE
        )
    rows, columns, coeffs, *map_size = (_whole(size) for size in sizes)
    limits = ((coeffs, MAX_SIDE), (rows, MAX_CELLS), (columns, MAX_CELLS), *((n, MAX_SIDE) for n in map_size))
    if not all(0 < size <= limit for size, limit in limits):
        raise ModelError(
            f"{name} has outputs that cannot be: {described(interface.outputs)}.", hint=NOT_SEGMENTATION
        )
    for port in (head, protos):
        if port.kind not in FLOATS:
            raise ModelError(
                f"{name} gives {port.name!r} as {port.kind}, not as floating-point numbers.",
                hint="Export it again: yolotrt export WEIGHTS.pt",
            )
    _, _, height, width = interface.inputs[0].dims
    return recognise(rows, columns, coeffs, (_whole(width), _whole(height)), evidence, name)


def contradiction(spec: ModelSpec, interface: Interface) -> str | None:
    """Return where a spec that was read from a file differs from the network that it is said to describe.

    Args:
        spec: What the file says.
        interface: The network's. Where it has no metadata, class names cannot be compared, only counted.

    Returns:
        What both say, or None if they agree.
    """
    properties = dict(interface.properties)
    if not (properties.get("names") or spec.head == "raw"):
        properties["names"] = repr(dict(enumerate(spec.names)))
    try:
        found = read_interface(
            Interface(interface.inputs, interface.outputs, properties), "the network", known=spec.head
        )
    except ModelError as exc:
        return exc.message
    checked = ["input_name", "input_wh", "batch", "head", "head_output", "proto_output", "mask_coeffs"]
    for key in checked:
        said, is_ = getattr(spec, key), getattr(found, key)
        if said != is_:
            return f"it says {key} {said!r:.60}, the network has {is_!r:.60}"
    if len(spec.names) != len(found.names):
        return f"it has {len(spec.names)} class names, the network {len(found.names)} classes"
    if properties.get("names") and spec.names != found.names:
        differing = next((a, b) for a, b in zip(spec.names, found.names, strict=True) if a != b)
        return f"it calls a class {differing[0]!r:.60}, the network {differing[1]!r:.60}"
    return None


def _whole(value: int | str) -> int:
    assert isinstance(value, int)
    return value


def _int_property(properties: Mapping[str, str], key: str, default: int) -> int:
    text = properties.get(key, "")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII) else default
