"""The exporter on real networks: an untrained YOLO26-seg from Ultralytics' own description."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from yolotrt.errors import InputError, MissingDependency, ModelError
from yolotrt.model.export import export
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec

# Found and not imported: with torch that would take a second of every process that collects tests.
ultralytics = find_spec("ultralytics")

needs_export = pytest.mark.skipif(ultralytics is None, reason="needs the export extra (torch, ultralytics)")


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(ultralytics.origin).parent / "cfg" / "models" / "26" / "yolo26-seg.yaml"
    path = tmp_path_factory.mktemp("weights") / "yolo26n-seg.yaml"
    path.write_text(source.read_text())
    return path


@needs_export
@pytest.mark.export
@pytest.mark.parametrize(("head", "shape"), [("auto", (300, 38)), ("raw", (116, 2100))])
def test_both_heads_come_out_as_specified(
    description: Path, tmp_path: Path, head: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "m.onnx"
    result = export(description, target, imgsz=320, head=head)  # type: ignore[arg-type]
    model = load_onnx(target)
    onnx.checker.check_model(model, full_check=True)
    dims = [[d.dim_value or d.dim_param for d in o.type.tensor_type.shape.dim] for o in model.graph.output]
    assert dims[0][1:] == list(shape)
    assert dims[1][1:] == [32, 80, 80]
    assert not {"Shape", "Range", "NonZero"} & {n.op_type for n in model.graph.node}
    assert result.untrained
    assert result.difference is not None
    assert result.difference < 1e-3
    assert [p.name for p in description.parent.iterdir()] == [description.name]
    assert {p.name for p in tmp_path.iterdir()} == {"m.onnx"}

    again = export(description, target, imgsz=320, head=head)  # type: ignore[arg-type]
    assert again.cached
    forced = export(description, tmp_path / "other.onnx", imgsz=320, head=head)  # type: ignore[arg-type]
    assert forced.key == result.key == onnx_key(model)
    assert read_spec(model, "m").batch is None


@needs_export
@pytest.mark.export
def test_a_detection_model_is_refused(tmp_path: Path) -> None:
    source = Path(ultralytics.origin).parent / "cfg" / "models" / "26" / "yolo26.yaml"
    path = tmp_path / "yolo26n.yaml"
    path.write_text(source.read_text())
    with pytest.raises(ModelError, match="segment"):
        export(path, tmp_path / "m.onnx", imgsz=320)
    assert not (tmp_path / "m.onnx").exists()


@needs_export
@pytest.mark.export
@pytest.mark.parametrize(
    ("name", "content"), [("broken.pt", b"not a checkpoint"), ("empty.pt", b""), ("broken.yaml", b"import x")]
)
def test_broken_weights_are_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read") as caught:
        export(path, tmp_path / "made" / "m.onnx")
    assert caught.value.message.startswith(f"{path} cannot be read")
    assert ".part" not in caught.value.message, "nobody but us knows the copy"


class _Bomb:
    """Leaves a file behind when it is unpickled by anything that runs code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (str(self.mark),)


@needs_export
@pytest.mark.export
def test_weights_that_run_code_are_named_and_run_it_only_when_trusted(tmp_path: Path) -> None:
    import torch

    mark, path = tmp_path / "ran", tmp_path / "w.pt"
    torch.save({"model": _Bomb(mark)}, path)
    with pytest.raises(ModelError, match=r"more than Ultralytics' own classes \(posix.mkdir\)") as caught:
        export(path, tmp_path / "m.onnx")
    assert "--trust" in (caught.value.hint or "")
    assert not mark.exists()
    said: list[str] = []

    def warn(message: str) -> None:
        said.append(message)
        assert not mark.exists()  # told before, not after

    with pytest.raises(ModelError, match="cannot be read"):
        export(path, tmp_path / "m.onnx", trust=True, on_wait=warn)
    assert mark.exists()  # the fault was real: without the restricted loader the code runs
    assert "can run any code" in said[-1]


@needs_export
@pytest.mark.export
def test_a_description_that_runs_code_is_refused(description: Path, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "yolo26n-seg.yaml"
    path.write_text(f"activation: __import__('os').mkdir({str(mark)!r})\n" + description.read_text())
    with pytest.raises(ModelError, match="unsupported activation"):
        export(path, tmp_path / "m.onnx", imgsz=320)
    assert not mark.exists()


@needs_export
@pytest.mark.export
def test_the_loader_of_the_application_is_left_as_it_was(tmp_path: Path) -> None:
    from ultralytics.nn import tasks

    before = tasks.SAFE_LOAD
    (tmp_path / "w.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="cannot be read"):
        export(tmp_path / "w.pt", tmp_path / "m.onnx")
    assert before == tasks.SAFE_LOAD


@pytest.mark.skipif(ultralytics is not None, reason="the export extra is installed")
def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"x")
    with pytest.raises(MissingDependency) as caught:
        export(path, tmp_path / "m.onnx")
    assert "pip install -e '.[export]'" in (caught.value.hint or "")


@pytest.mark.parametrize("size", [0, 100, -32])
def test_impossible_sizes_are_refused_first(tmp_path: Path, size: int) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match="multiple of 32"):
        export(path, tmp_path / "m.onnx", imgsz=size)


@needs_export
@pytest.mark.export
@pytest.mark.real
def test_real_weights_agree_with_torch(test_data: Path, tmp_path: Path) -> None:
    result = export(test_data / "models" / "yolo11n-seg.pt", tmp_path / "m.onnx")
    assert (result.spec.head, len(result.spec.names), result.spec.names[0]) == ("raw", 80, "person")
    assert result.difference is not None
    assert result.difference < 1e-4
