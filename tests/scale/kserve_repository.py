"""A model repository for Triton in a local KServe server: the networks, and the Python models as they stand.

    python -m tests.scale.kserve_repository REPOSITORY PORT

KServe speaks the same protocol as Triton (the open inference protocol, v2). What Triton's Python backend
gives a ``model.py`` (``triton_python_backend_utils``) is made here from its documentation, as far as ours
uses it; a request to another model runs that model of this server.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer
from tritonclient.utils import triton_to_np_dtype

from yolotrt.backends.admission import admit
from yolotrt.backends.loading import load_engine


def _message() -> Any:
    """Return Triton's message; alone, since the rest of that package does not load beside KServe's."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    (place,) = package.submodule_search_locations or ()
    module = _loaded("model_config_pb2", Path(place) / "grpc" / "model_config_pb2.py")
    return module.ModelConfig


def _loaded(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ModelConfig = _message()

NAMES = {np.float32: "FP32", np.int64: "INT64", np.object_: "BYTES"}


def read_config(folder: Path) -> Any:
    """Return what a model's ``config.pbtxt`` says, by Triton's own message."""
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


class Network(Model):
    """The network of a model folder, run by our own backend; shapes are held to its configuration."""

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        super().__init__(self.config.name)
        file = folder / "1" / self.config.default_model_filename
        self._engine = load_engine(admit(file, trust=True), "cpu")
        self.sizes: list[int] = []
        self.ready = True

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        (wanted,) = self.config.input
        if images.shape[1:] != tuple(wanted.dims) or not 1 <= len(images) <= self.config.max_batch_size:
            raise ValueError(f"{wanted.name} of {images.shape} does not fit {list(wanted.dims)}")
        self.sizes.append(len(images))
        context = self._engine.new_context(len(images))
        context.images[:] = images
        found = dict(zip([output.name for output in self.config.output], context.run(), strict=True))
        for output in self.config.output:
            assert found[output.name].shape[1:] == tuple(output.dims), "the configuration does not fit"
        return {name: array.copy() for name, array in found.items()}

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        return _response(self.name, self.run(payload.inputs[0].as_numpy()))


class Frames(Model):
    """A ``model.py`` of the Python backend."""

    def __init__(self, folder: Path, networks: dict[str, Network]) -> None:
        config = read_config(folder)
        super().__init__(config.name)
        backend_utils(networks)
        self._model = _loaded("model", folder / "1" / "model.py").TritonPythonModel()
        described = json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True))
        self._model.initialize({"model_config": described, "model_name": config.name, "model_version": "1"})
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        given = {one.name: Tensor(one.name, _value(one)) for one in payload.inputs}
        (response,) = self._model.execute([given])
        if response.has_error():
            raise ValueError(response.error().message())
        return _response(self.name, {tensor.name(): tensor.as_numpy() for tensor in response.outputs})


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError:
    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class InferenceResponse:
    def __init__(self, output_tensors: Any = (), error: TritonError | None = None) -> None:
        self.outputs, self._error = list(output_tensors), error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def backend_utils(networks: dict[str, Network]) -> None:
    """Give ``model.py`` what it imports from Triton."""

    class InferenceRequest:
        def __init__(self, model_name: str, requested_output_names: list[str], inputs: list[Tensor]) -> None:
            self._model, self._wanted, self._inputs = model_name, requested_output_names, inputs

        def exec(self) -> InferenceResponse:
            try:
                found = networks[self._model].run(self._inputs[0].as_numpy())
            except Exception as exc:
                return InferenceResponse(error=TritonError(str(exc)))
            return InferenceResponse([Tensor(name, found[name]) for name in self._wanted])

    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor, module.TritonError = Tensor, TritonError
    module.InferenceRequest, module.InferenceResponse = InferenceRequest, InferenceResponse
    module.get_input_tensor_by_name = lambda request, name: request[name]
    module.get_output_tensor_by_name = lambda response, name: next(
        tensor for tensor in response.outputs if tensor.name() == name
    )
    sys.modules["triton_python_backend_utils"] = module


def _value(one: InferInput) -> np.ndarray:
    return np.asarray(one.as_numpy(), triton_to_np_dtype(one.datatype)).reshape(one.shape)


def _response(name: str, arrays: dict[str, np.ndarray]) -> InferResponse:
    outputs = []
    for key, array in arrays.items():
        output = InferOutput(key, list(array.shape), NAMES[array.dtype.type])
        output.set_data_from_numpy(array, binary_data=True)
        outputs.append(output)
    return InferResponse("1", name, outputs)


def main(repository: Path, port: int) -> None:
    logging.disable(logging.INFO)
    folders = sorted(path.parent for path in repository.glob("*/config.pbtxt"))
    networks = {folder.name: Network(folder) for folder in folders if read_config(folder).backend != "python"}
    frames = [Frames(folder, networks) for folder in folders if read_config(folder).backend == "python"]
    ModelServer(http_port=port, enable_grpc=False).start([*networks.values(), *frames])


if __name__ == "__main__":
    repository, port = sys.argv[1:3]
    sys.argv[1:] = []
    main(Path(repository), int(port))
