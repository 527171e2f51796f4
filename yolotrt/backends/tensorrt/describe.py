"""What ``yolotrt inspect`` shows of a TensorRT engine: profiles, inputs and outputs, layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from yolotrt.backends.base import EngineFile
from yolotrt.backends.layers import describe_layers
from yolotrt.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from yolotrt.backends.tensorrt.runtime import TensorRtEngine


def describe(file: EngineFile, load: Callable[[], TensorRtEngine]) -> dict[str, Any]:
    """Return what is in an engine, as JSON values.

    TensorRT itself is asked where it and a GPU that the engine fits are here; otherwise the sidecar
    tells what the build found. ``told_by`` says which, and why TensorRT was not asked.

    Args:
        file: The engine.
        load: Loads it on a GPU.
    """
    try:
        engine = load()
    except (EnvironmentFault, InputError) as exc:
        spec = file.spec
        width, height = spec.input_wh
        return {
            "told_by": f"its sidecar ({exc.message})",
            "profiles": file.environment.get("profiles", ",".join(map(str, file.batches))).split(","),
            "inputs_outputs": [
                f"{spec.input_name}: input FP32 (batch, 3, {height}, {width})",
                f"{spec.head_output}: output, {spec.head} head",
                f"{spec.proto_output}: output, (batch, {spec.mask_coeffs}, {height // 4}, {width // 4})",
            ],
            **describe_layers(file.layers),
        }
    try:
        return _ask(engine)
    finally:
        engine.close()


def _ask(engine: TensorRtEngine) -> dict[str, Any]:
    from yolotrt.backends.tensorrt.inspector import inspect_layers

    native = engine.native
    inputs_outputs = []
    for i in range(native.num_io_tensors):
        name = native.get_tensor_name(i)
        direction = native.get_tensor_mode(name).name.lower()
        kind = native.get_tensor_dtype(name).name
        shape = ", ".join("batch" if n == -1 else str(n) for n in native.get_tensor_shape(name))
        inputs_outputs.append(f"{name}: {direction} {kind} ({shape})")
    return {
        "told_by": engine.library.title,
        "profiles": [str(profile) for profile in engine.profiles],
        "inputs_outputs": inputs_outputs,
        "memory_mib": [
            round(native.get_device_memory_size_for_profile_v2(i) / 2**20, 1)
            for i in range(len(engine.profiles))
        ],
        **describe_layers(inspect_layers(engine.library, native) or engine.file.layers),
    }
