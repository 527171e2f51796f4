"""Whether what a sidecar says is true of the network beside it.

A sidecar's hash fits whatever its author wrote beside it, so every other field is held against the network
before anything is allocated or decoded by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yolotrt.backends.base import EngineFile
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.errors import ArtifactError
from yolotrt.model.held import MARKS, held_precision
from yolotrt.model.interface import Interface, Port, interface_of
from yolotrt.model.reading import contradiction
from yolotrt.model.wire import Outlined, mentions

if TYPE_CHECKING:
    import onnx


def require_agreement(file: EngineFile, interface: Interface) -> None:
    """Refuse an engine whose sidecar contradicts its network.

    Args:
        file: The engine, as its sidecar describes it.
        interface: What the loaded network has.

    Raises:
        ArtifactError: They differ; the message says where.
    """
    found = contradiction(file.spec, interface)
    if found is not None:
        raise _contradicted(file, found)


def require_precision(file: EngineFile, data: bytes, outlined: Outlined) -> None:
    """Refuse an ONNX engine that is not in the precision that its sidecar says.

    The network is only parsed where names in its bytes make the sidecar doubtful.

    Raises:
        ArtifactError: It is not.
    """
    eight_bits = file.precision in ("int8", "fp8")
    marked = mentions(outlined.network, MARKS)
    # What our casts to FP16 call their results.
    half = file.precision == "fp16" or mentions(outlined.network, (b".fp16",))
    if eight_bits and not marked and "excluded" in file.sources:
        return  # the last attempt of an accuracy bound: the sidecar excludes all from INT8
    if marked != eight_bits or half:
        import onnx
        from google.protobuf.message import DecodeError

        try:
            held = held_precision(onnx.load_model_from_string(data))
        except DecodeError:  # the runtime says better what is wrong with it
            return
        if held != file.precision:
            raise _contradicted(file, f"it says {file.precision}, the network is in {held}")


def interface_of_session(session: Any) -> Interface:
    """Return the interface of a session of ONNX Runtime."""
    return Interface(
        tuple(_port(value) for value in session.get_inputs()),
        tuple(_port(value) for value in session.get_outputs()),
        session.get_modelmeta().custom_metadata_map,
    )


def adapted_network(file: EngineFile, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a parsed ONNX engine as it was when it was admitted, changed in place; one of ours is as it is.

    Raises:
        ArtifactError: Its sidecar contradicts it.
    """
    from yolotrt.model.adapt import adapted

    network = adapted(model)
    require_agreement(file, interface_of(network))
    return network


def adapted_bytes(file: EngineFile, data: bytes) -> bytes | None:
    """Return the same of a network's bytes; None if they are no network.

    Raises:
        ArtifactError: As :func:`adapted_network`.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return None
    changed: bytes = adapted_network(file, model).SerializeToString()
    return changed


def is_plain(file: EngineFile, interface: Interface) -> bool:
    """Whether a network takes and gives FP32 and nothing else than a sidecar of ours would say."""
    spec = file.spec
    ports = {port.name: port for port in (*interface.inputs, *interface.outputs)}
    named = [ports.get(name) for name in (spec.input_name, spec.head_output, spec.proto_output)]
    return all(port is not None and port.kind == "float" for port in named) and (
        contradiction(spec, interface) is None
    )


def _port(value: Any) -> Port:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return Port(value.name, kind, tuple(size if isinstance(size, int) else str(size) for size in value.shape))


def _contradicted(file: EngineFile, found: str) -> ArtifactError:
    return ArtifactError(
        f"The sidecar of {file.path} contradicts the network: {found.rstrip('.')}.",
        hint=f"Build it again: {rebuild_command(file)}",
    )
