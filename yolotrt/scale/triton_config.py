"""What Triton is told of a model: ``config.pbtxt``, the text form of its ``ModelConfig`` message.

Fields and enumerations are those of ``model_config.proto`` of Triton's common repository; tests parse what is
written here with the message that ``tritonclient`` carries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.registry import backend
from yolotrt.errors import UsageError
from yolotrt.model.interface import Port
from yolotrt.pipeline.chunks import MOST_AT_ONCE

FieldValue: TypeAlias = "str | int | bool | Word | Message | Sequence[FieldValue]"
Message: TypeAlias = "Mapping[str, FieldValue]"

QUEUE_DELAY_US = 2000
"""How long Triton lets a request wait for others to share a batch with, microseconds."""

_TYPES = {"float": "TYPE_FP32", "float16": "TYPE_FP16"}
"""Triton's words for types of ONNX that networks take and give."""


class Word(str):
    """A word of an enumeration, which stands without quotes."""


@dataclass(frozen=True)
class Serving:
    """How an engine is served.

    Attributes:
        name: Name of the model.
        kind: ``gpu`` or ``cpu``.
        instances: How many run side by side, on each GPU.
        gpus: GPUs; none leaves it to Triton, which takes all.
        queue_delay_us: How long a request waits for others, microseconds.
    """

    name: str
    kind: str
    instances: int = 1
    gpus: tuple[int, ...] = ()
    queue_delay_us: int = QUEUE_DELAY_US


def text(message: Message, indent: str = "") -> str:
    """Return a message in protobuf's text format."""
    return "".join(f"{indent}{line}\n" for line in _lines(message))


def _lines(message: Message) -> Iterator[str]:
    for name, value in message.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for one in values:
            if isinstance(one, Mapping):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(one))
                yield "}"
            elif isinstance(one, bool):
                yield f"{name}: {str(one).lower()}"
            else:
                yield f"{name}: {one if isinstance(one, (Word, int)) else json.dumps(one)}"


def engine_config(
    file: EngineFile, serving: Serving, inputs: Sequence[Port], outputs: Sequence[Port]
) -> Message:
    """Return the configuration of the network.

    Args:
        file: The engine.
        serving: How it is served.
        inputs: Its inputs; none lets Triton ask the engine, for them and the outputs.
        outputs: Its outputs, likewise.
    """
    served = served_as(file)
    fixed = file.spec.batch
    most = 0 if fixed is not None else max(file.batches, default=MOST_AT_ONCE)
    width, height = file.spec.input_wh
    group: dict[str, FieldValue] = {
        "count": serving.instances,
        "kind": Word("KIND_GPU" if serving.kind == "gpu" else "KIND_CPU"),
        "gpus": serving.gpus,
        "profile": profiles(file),
    }
    found: dict[str, FieldValue] = {
        "name": serving.name,
        "backend": served[0],
        "default_model_filename": served[1],
        "max_batch_size": most,
        "input": [_port(port, fixed) for port in inputs],
        "output": [_port(port, fixed) for port in outputs],
        "instance_group": group,
    }
    if takes_any(file):
        sizes = sorted({size for size in (most // 4, most // 2, most) if size > 1})
        found["dynamic_batching"] = {
            "preferred_batch_size": sizes,
            "max_queue_delay_microseconds": serving.queue_delay_us,
        }
    kind = _TYPES[inputs[0].kind] if inputs else "TYPE_FP32"
    dims = [3, height, width] if fixed is None else [fixed, 3, height, width]
    image: Message = {"data_type": Word(kind), "dims": dims, "zero_data": True}
    found["model_warmup"] = [
        {
            "name": f"zeros {size}",
            "batch_size": size,
            "inputs": {"key": file.spec.input_name, "value": image},
        }
        for size in ([1] if fixed is not None else sorted({min(file.batches, default=1), most}))
    ]
    return found


def frames_config(name: str, instances: int, parameters: Mapping[str, str]) -> Message:
    """Return the configuration of the Python model: one frame in, its objects out."""
    outputs: list[Message] = [
        {"name": "BOXES", "data_type": Word("TYPE_FP32"), "dims": [-1, 4]},
        {"name": "SCORES", "data_type": Word("TYPE_FP32"), "dims": [-1]},
        {"name": "CLASSES", "data_type": Word("TYPE_INT64"), "dims": [-1]},
        {"name": "MASKS", "data_type": Word("TYPE_STRING"), "dims": [-1]},
    ]
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": 0,  # frames differ in size; their tiles share batches
        "input": [{"name": "FRAME", "data_type": Word("TYPE_UINT8"), "dims": [-1, -1, 3]}],
        "output": outputs,
        "instance_group": {"count": instances, "kind": Word("KIND_CPU")},
        "parameters": [
            {"key": key, "value": {"string_value": value}} for key, value in sorted(parameters.items())
        ],
    }


def served_as(file: EngineFile) -> tuple[str, str]:
    """Return Triton's backend for an engine, and what it calls the file.

    Raises:
        UsageError: It has none.
    """
    found = backend(file.backend).triton
    if found is None:
        fitting = " or ".join(f"--backend {name}" for name in NAMES if backend(name).triton)
        raise UsageError(
            f"{file.path} is a {file.backend} engine: Triton has no backend for it.",
            hint=f"Build it with {fitting}.",
        )
    return found


def takes_any(file: EngineFile) -> bool:
    """Return whether an engine takes every batch size up to its largest: Triton may then form batches."""
    if file.spec.batch is not None:
        return False
    return not file.batches or sorted(file.batches) == list(range(1, max(file.batches) + 1)) != [1]


def profiles(file: EngineFile) -> list[str]:
    """Return the optimization profiles of a TensorRT engine by number; none where nobody wrote them down."""
    built = file.environment.get("profiles", "")
    return [str(number) for number in range(len(built.split(",")))] if built else []


def _port(port: Port, fixed: int | None) -> Message:
    """Return an input or output; without its batch, unless that is part of the network."""
    dims = [dim if isinstance(dim, int) else -1 for dim in port.dims[fixed is None :]]
    return {"name": port.name, "data_type": Word(_TYPES[port.kind]), "dims": dims}
