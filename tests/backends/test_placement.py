"""Where engines run, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_yolo import write_tiny_yolo
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import Availability, EngineFile, Placement, Precision
from yolotrt.backends.loading import Replicas, load_engine
from yolotrt.backends.onnxruntime import gpu as onnxruntime_gpu
from yolotrt.backends.onnxruntime import provider
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.backends.placement import place
from yolotrt.cuda.machine import Machine
from yolotrt.errors import DeviceError, UsageError
from yolotrt.model.onnxfile import load_onnx, read_spec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_yolo(tmp_path / "tiny.onnx")


def engine_file(path: Path, backend: str = "onnxruntime", precision: Precision = "fp32") -> EngineFile:
    return EngineFile(path, backend, precision, read_spec(load_onnx(path), "tiny"), (), sha256_file(path))


def with_cuda(monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
    state = Availability(usable, "1.31 on cuda:0" if usable else "no CUDA provider", builds=True)
    monkeypatch.setattr(provider, "availability", lambda index=0: state)


@pytest.mark.parametrize(
    ("backend", "precision", "cuda", "expected"),
    [
        ("onnxruntime", "fp16", True, "cuda:0"),
        ("onnxruntime", "fp32", True, "cuda:0"),
        ("onnxruntime", "int8", True, "cpu"),
        ("onnxruntime", "fp16", False, "cpu"),
        ("tensorrt", "int8", False, "cuda:0"),
        ("tensorrt-rtx", "fp16", True, "cuda:0"),
    ],
)
def test_auto_takes_a_gpu_where_it_helps(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    precision: Precision,
    cuda: bool,
    expected: str,
) -> None:
    with_cuda(monkeypatch, cuda)
    found = place(engine_file(path, backend, precision))
    assert str(found) == expected
    assert found.reason


def test_devices_are_read_as_written(path: Path) -> None:
    file = engine_file(path)
    assert place(file, "cpu").gpus == ()
    assert place(file, "cuda:3").gpus == (3,)
    assert str(place(file, "cuda:0,2")) == "cuda:0,2"
    assert place(file, "cuda").gpus == place(file, "0").gpus == (0,)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:-1", "cuda:0,0", ""])
def test_other_words_are_refused(path: Path, device: str) -> None:
    with pytest.raises(UsageError) as error:
        place(engine_file(path), device)
    assert "cuda:0" in (error.value.hint or "")


def test_a_tensorrt_engine_is_not_put_on_a_processor(path: Path) -> None:
    with pytest.raises(UsageError, match="GPU only") as error:
        place(engine_file(path, "tensorrt"), "cpu")
    assert "--backend onnxruntime" in (error.value.hint or "")


def test_a_gpu_that_is_not_there_is_one_clear_error(path: Path) -> None:
    pytest.importorskip("cuda.bindings", reason="needs the cuda extra")
    pytest.importorskip("cuda.bindings", reason="needs the cuda extra")
    with pytest.raises(DeviceError, match="cuda:97") as error:
        load_engine(engine_file(path), "cuda:97")
    assert "nvidia-smi" in (error.value.hint or "")


class OnGpu:
    """An engine as a backend loads it on a GPU."""

    def __init__(self, file: EngineFile, device: Any) -> None:
        self.file, self.device, self.closed = file, device, False

    def close(self) -> None:
        self.closed = True


def test_several_gpus_get_an_engine_each(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(open_gpu=lambda index: f"device {index}")  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(onnxruntime_gpu, "load", OnGpu)
    engine = load_engine(engine_file(path), "cuda:1,0", machine=machine)
    assert isinstance(engine, Replicas)
    assert [part.device for part in engine.parts] == ["device 1", "device 0"]
    engine.close()
    assert all(part.closed for part in engine.parts)  # type: ignore[attr-defined]


def test_when_one_gpu_fails_the_others_are_freed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[OnGpu] = []

    def load(file: EngineFile, device: Any) -> OnGpu:
        if device == 1:
            raise DeviceError("The second GPU is broken.")
        made.append(OnGpu(file, device))
        return made[-1]

    machine = Machine(open_gpu=lambda index: index)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(onnxruntime_gpu, "load", load)
    with pytest.raises(DeviceError, match="second"):
        load_engine(engine_file(path), "cuda:0,1", machine=machine)
    assert [engine.closed for engine in made] == [True]


def test_an_engine_on_the_processor_has_no_gpu(path: Path) -> None:
    engine = load_engine(engine_file(path), "cpu")
    assert isinstance(engine, OnnxRuntimeEngine)
    assert not engine.parts
    assert Placement((), "asked for") == place(engine.file, "cpu")
    engine.close()
