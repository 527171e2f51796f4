"""ONNX files that come quantised or in half precision are built as what they are."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from tests import foreign
from tests.backends.qdq_by_hand import quantize_by_hand
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.backends.admission import admit
from yolotrt.backends.base import Precision
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.images import list_images
from yolotrt.errors import BuildError, ModelError
from yolotrt.model.held import held_precision
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.workflow.accuracy_bound.search import BoundRequest, build_within_bound
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.evaluate import MaxDrop


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """As tools leave a file that know nothing of YOLO."""
    del model.metadata_props[:]
    return model


NETWORKS = {
    "fp32": tiny_yolo,
    "fp16": lambda: to_fp16(tiny_yolo(), read_spec(tiny_yolo(), "m")),
    "int8": lambda: _bare(quantize_by_hand(tiny_yolo(), ("stem.conv", "down2.conv"))),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.onnx"


def _build(path: Path, precision: Precision, pictures: Path | None = None) -> tuple[Path, list[str]]:
    said: list[str] = []
    request = BuildRequest(
        path,
        precision,
        "onnxruntime",
        images=pictures,
        output=path.with_name("e.onnx"),
        calib_data=path.parent,
    )
    return build_engine(request, say=said.append).file.path, said


@pytest.mark.parametrize("held", NETWORKS)
def test_the_precision_that_a_file_holds(path: Path, held: str) -> None:
    path.write_bytes(NETWORKS[held]().SerializeToString())
    assert held_precision(load_onnx(path)) == held
    assert admit(path, trust=True).precision == held


def test_integer_operators_count_too() -> None:
    model = tiny_yolo()
    model.graph.node[0].op_type = "QLinearConv"
    assert held_precision(model) == "int8"


@pytest.mark.parametrize("wanted", ["fp32", "fp16", "fp8"])
def test_nothing_else_is_made_from_a_quantised_network(path: Path, wanted: Precision) -> None:
    path.write_bytes(NETWORKS["int8"]().SerializeToString())
    with pytest.raises(ModelError, match=f"already quantised .*--{wanted} cannot be made") as caught:
        _build(path, wanted)
    assert "--int8 builds it as it is" in (caught.value.hint or "")


def test_a_quantised_network_is_built_as_it_is_and_not_called_calibrated(path: Path, pictures: Path) -> None:
    path.write_bytes(NETWORKS["int8"]().SerializeToString())
    engine, said = _build(path, "int8", pictures)
    file = read_engine(engine)
    assert (file.precision, file.sources["precision_from"]) == ("int8", "the ONNX file")
    assert not {"calibration", "noise"} & set(file.sources)
    assert list(path.parent.glob("*.calib.json")) == []
    assert any("nothing is calibrated" in line for line in said)
    assert any("no class names" in line and "ModelOpt" in line for line in said)
    assert held_precision(load_onnx(engine)) == "int8"


@pytest.mark.parametrize("held", ["int8", "fp16"])
def test_only_fp32_is_calibrated(path: Path, pictures: Path, held: str) -> None:
    path.write_bytes(NETWORKS[held]().SerializeToString())
    spec = read_spec(load_onnx(path), "m")
    with pytest.raises(ModelError, match=r"already quantised|FP16 weights"):
        load_or_calibrate(path, spec, list_images(pictures), path.with_name("c.json"))


def test_a_bound_needs_an_fp32_network(path: Path, pictures: Path) -> None:
    path.write_bytes(NETWORKS["int8"]().SerializeToString())
    build = BuildRequest(path, "int8", "onnxruntime", images=pictures, engines=path.parent)
    with pytest.raises(ModelError, match="nothing to quantise less"):
        build_within_bound(BoundRequest(build, MaxDrop.parse("1%"), None, None, 1), say=lambda _: None)


def test_a_half_network_gives_an_engine_that_says_so(path: Path, pictures: Path) -> None:
    path.write_bytes(NETWORKS["fp16"]().SerializeToString())
    engine, said = _build(path, "fp32")
    assert read_engine(engine).precision == "fp16"
    assert any("recorded as that" in line for line in said)
    with pytest.raises(ModelError, match="FP16 weights"):
        _build(path, "int8", pictures)


def test_an_int8_engine_has_something_in_int8(path: Path, pictures: Path) -> None:
    model = tiny_yolo()
    for node in list(model.graph.node):
        if node.op_type == "Conv":  # weights that are computed, not constant
            source = node.input[1]
            node.input[1] = f"{source}.computed"
            model.graph.node.insert(
                0, onnx.helper.make_node("Neg", [source], [node.input[1]], name=node.input[1])
            )
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BuildError, match=r"Nothing of m\.onnx can be computed in INT8"):
        _build(path, "int8", pictures)


@pytest.mark.parametrize("name", ["", "node"])
def test_nodes_need_no_names_of_their_own(path: Path, pictures: Path, name: str) -> None:
    path.write_bytes(foreign.named_all(tiny_yolo(), name).SerializeToString())
    engine, _ = _build(path, "int8", pictures)
    assert held_precision(load_onnx(engine)) == "int8"


def test_a_tail_that_reads_the_input_too_is_calibrated(path: Path, pictures: Path) -> None:
    """What is cast from FP16 belongs to the tail if the tail reads it, and to the body that reads it, too."""
    model = foreign.taking(tiny_yolo(), TensorProto.FLOAT16)
    graph, node = model.graph, onnx.helper.make_node
    graph.initializer.append(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(graph.initializer[0])[:1, :1, 0, 0] * 0, "zero"
        )
    )
    last = next(n for n in graph.node if "output0" in n.output)
    last.output[0] = "rows.decoded"
    graph.node.extend(
        [
            node("ReduceMean", ["images.fp32"], ["mean"], name="mean", keepdims=0),
            node("Mul", ["mean", "zero"], ["none"], name="none"),
            node("Add", ["rows.decoded", "none"], ["output0"], name="output0"),
        ]
    )
    path.write_bytes(model.SerializeToString())
    engine, _ = _build(path, "int8", pictures)
    assert held_precision(load_onnx(engine)) == "int8"


def test_p6_is_quantised_and_runs(tmp_path: Path, pictures: Path) -> None:
    path = write_tiny_yolo(tmp_path / "m.onnx", 128, p6=True)
    engine, _ = _build(path, "int8", pictures)
    assert read_engine(engine).spec.stride == 64
    fp16, _ = _build(path, "fp16")
    assert read_engine(fp16).spec.stride == 64
