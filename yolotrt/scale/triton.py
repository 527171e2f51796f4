"""A model repository that a Triton server loads: engines as they are, and beside each a model for frames."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import atomic_target, write_text
from yolotrt.artifacts.folders import owning, with_ending
from yolotrt.backends.base import EngineFile
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar_file import DOCUMENT as SIDECAR
from yolotrt.backends.sidecar_file import Sidecar
from yolotrt.errors import UsageError, YoloTrtError
from yolotrt.model.interface import Port, interface_of
from yolotrt.model.onnxfile import load_onnx, onnx_key
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.scale import triton_model
from yolotrt.scale.triton_config import (
    Message,
    Serving,
    engine_config,
    frames_config,
    served_as,
    takes_any,
    text,
)

VERSION = "1"
"""Folder of the models' only version."""

MAKER = "yolotrt export-triton"


@dataclass(frozen=True)
class ServedModels:
    """What was written for an engine.

    Attributes:
        network: Name of the model that is the network.
        frames: Name of the model that takes whole frames.
        notes: What whoever serves them should know.
    """

    network: str
    frames: str
    notes: tuple[str, ...]


def export(
    files: Sequence[EngineFile],
    repository: Path,
    settings: PipelineSettings,
    *,
    instances: int = 1,
    gpus: tuple[int, ...] = (),
    on_cpu: bool = False,
    overwrite: bool = False,
) -> list[ServedModels]:
    """Write a model repository.

    Args:
        files: The engines, of different names.
        repository: Its folder.
        settings: How frames are cut, decoded and merged.
        instances: How many of each run side by side, on each GPU.
        gpus: GPUs that networks run on; none leaves it to Triton.
        on_cpu: Networks run on processors.
        overwrite: Also replace files of others.

    Raises:
        UsageError: Triton cannot run an engine, or two have one name.
        StorageError: The folder holds files of others, or cannot be written.
    """
    for file in files:
        _require_served(file, on_cpu=on_cpu)
    names = [_name(file) for file in files]
    models = [model for name in names for model in (name, f"{name}-frames")]
    if twice := sorted({model for model in models if models.count(model) > 1}):
        raise UsageError(f"Two models would be {twice[0]}.", hint="Rename one of the engines' files.")
    # What belongs to a model is one list: nothing of other models in the repository is touched.
    watched = with_ending(".pbtxt", ".py", ".plan", ".onnx", ".json")
    found = []
    for file, name in zip(files, names, strict=True):
        frames = f"{name}-frames"
        with (
            owning(repository / name, MAKER, watched, option="REPOSITORY", overwrite=overwrite),
            owning(repository / frames, MAKER, watched, option="REPOSITORY", overwrite=overwrite),
        ):
            serving = Serving(name, "cpu" if on_cpu else "gpu", instances, gpus)
            found.append(_export_one(file, repository, serving, frames, settings))
    return found


def _export_one(
    file: EngineFile, repository: Path, serving: Serving, frames: str, settings: PipelineSettings
) -> ServedModels:
    inputs, outputs = ports(file)
    config = engine_config(file, serving, inputs, outputs)
    model = repository / serving.name
    with atomic_target(model / VERSION / served_as(file)[1]) as temporary:
        shutil.copyfile(file.path, temporary)
    _write_config(model, config)
    python = repository / frames
    with atomic_target(python / VERSION / "model.py") as temporary:
        shutil.copyfile(Path(__file__).with_name("triton_python_model.py"), temporary)
    SIDECAR.write(
        python / VERSION / f"{triton_model.ENGINE}.json", Sidecar.of(file, file.path.stat().st_size)
    )
    parameters = {
        "network": serving.name,
        "input_type": "TYPE_FP16" if inputs and inputs[0].kind == "float16" else "TYPE_FP32",
        "settings": _json(settings),
        "names": "\n".join(file.spec.names),
    }
    _write_config(python, frames_config(frames, serving.instances, parameters))
    return ServedModels(serving.name, frames, tuple(_notes(file, outputs)))


def ports(file: EngineFile) -> tuple[Sequence[Port], Sequence[Port]]:
    """Return inputs and outputs of an engine; none where only its library could tell.

    A TensorRT engine has those of the ONNX file that it was built from, if that is still there.
    """
    network = None
    with suppress(YoloTrtError):
        network = backend(file.backend).network(file)
        source = Path(file.sources.get("onnx_file", ""))
        if network is None and source.is_file():
            made_of = load_onnx(source)
            network = made_of if onnx_key(made_of) == file.sources.get("onnx") else None
    if network is None:
        return (), ()
    found = interface_of(network)
    wanted = (file.spec.head_output, file.spec.proto_output)
    return found.inputs, [port for port in found.outputs if port.name in wanted]


def _notes(file: EngineFile, outputs: Sequence[Port]) -> Iterator[str]:
    if not outputs:
        yield (
            f"{file.path.name}: the ONNX file that it was built from is not there, so Triton has to read "
            "inputs and outputs from the engine (it does, unless --disable-auto-complete-config is set)"
        )
    if not takes_any(file):
        yield (
            f"{file.path.name}: it takes batches of some sizes only, so Triton must not form any: requests "
            "run one by one. An engine of a range batches: yolotrt build MODEL --batch 1-8-32"
        )
    if not backend(file.backend).runs_on_cpu:
        made = file.environment.get("version", "?")
        yield f"{file.path.name}: Triton needs its library in version {made}, and the GPU it was built for"


def _require_served(file: EngineFile, *, on_cpu: bool) -> None:
    served_as(file)
    if on_cpu and not backend(file.backend).runs_on_cpu:
        raise UsageError(f"{file.path} runs on a GPU only.", hint="Leave out --device cpu.")


def _name(file: EngineFile) -> str:
    name = file.path.name
    for suffix in (f".{file.backend}{backend(file.backend).suffix}", backend(file.backend).suffix):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def _json(settings: PipelineSettings) -> str:
    return json.dumps(as_values(settings), sort_keys=True)


def _write_config(model: Path, config: Message) -> None:
    write_text(model / "config.pbtxt", f"# {MAKER}\n{text(config)}")
