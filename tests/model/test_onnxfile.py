from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import write_engine
from yolotrt.errors import InputError, ModelError
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec


def _shape_model(
    inputs: list[object], outputs: list[list[object]], names: str | None = None
) -> onnx.ModelProto:
    """A graph that is only an interface: what the spec is read from."""
    values = [
        helper.make_tensor_value_info(f"output{i}", TensorProto.FLOAT, shape)
        for i, shape in enumerate(outputs)
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], [v.name]) for v in values],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, inputs)],
        values,
    )
    model = helper.make_model(graph)
    if names:
        model.metadata_props.add(key="names", value=names)
    return model


def test_raw_head_is_recognised() -> None:
    spec = read_spec(tiny_yolo(64), "tiny")
    assert (spec.head, spec.names, spec.input_wh, spec.batch) == ("raw", ("cat", "dog"), (64, 64), None)
    assert (spec.head_output, spec.proto_output, spec.mask_coeffs) == ("output0", "output1", 4)


def test_end_to_end_head_is_recognised_by_its_shape() -> None:
    model = _shape_model(
        ["batch", 3, 640, 640], [["batch", 300, 38], ["batch", 32, 160, 160]], "{0: 'a', 1: 'b'}"
    )
    spec = read_spec(model, "x")
    assert (spec.head, spec.names, spec.mask_coeffs) == ("end2end", ("a", "b"), 32)


def test_fixed_batch_is_kept() -> None:
    assert read_spec(tiny_yolo(64, batch=4), "tiny").batch == 4


def test_missing_names_are_numbered() -> None:
    assert read_spec(tiny_yolo(64, names=False), "tiny").names == ("class0", "class1")


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["batch", 3, 640, 640], [["batch", 84, 8400]], "not a YOLO segmentation model"),
        (["batch", 3, "h", "w"], [["batch", 116, 8400], ["batch", 32, 160, 160]], "dynamic height"),
        (["batch", 1, 640, 640], [["batch", 116, 8400], ["batch", 32, 160, 160]], "RGB images"),
        (["batch", 3, 640, 640], [["batch", 116, 77], ["batch", 32, 160, 160]], "neither"),
        (["batch", 3, 640, 640], [["batch", 116, "a"], ["batch", 32, 160, 160]], "unknown size"),
        (["batch", 10], [["batch", 1000]], "RGB images"),
    ],
)
def test_other_networks_are_refused_with_their_shapes(
    inputs: list[object], outputs: list[list[object]], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_spec(_shape_model(inputs, outputs), "x")
    assert caught.value.hint


@pytest.mark.parametrize(
    "names",
    ["{0: 'a'}", "{'0': 'a', 0: 'b'}", "__import__('os')", "{0: 'a', 5: 'b'}", "(" * 5000, "{0: 1, 1: 2}"],
)
def test_a_hostile_or_wrong_class_list_is_refused(names: str) -> None:
    model = tiny_yolo(64, names=False)
    model.metadata_props.add(key="names", value=names)
    with pytest.raises(ModelError, match="class list"):
        read_spec(model, "x")


@pytest.mark.parametrize(
    "names",
    ["{0: 'a', 1: 'b'}", "['a', 'b']", '["a", "b"]', '{"0": "a", "1": "b"}', '{"0": "\\u0061", "1": "b"}'],
)
def test_a_class_list_may_be_written_in_python_or_json(names: str) -> None:
    model = tiny_yolo(64, names=False)
    model.metadata_props.add(key="names", value=names)
    assert read_spec(model, "x").names == ("a", "b")


@pytest.mark.parametrize("names", ["", "{}", "[]", "None"])
def test_an_empty_class_list_is_none(names: str) -> None:
    model = tiny_yolo(64, names=False)
    model.metadata_props.add(key="names", value=names)
    assert read_spec(model, "x").names == ("class0", "class1")


def test_the_key_ignores_metadata_and_sees_weights() -> None:
    one, two, other = tiny_yolo(64), tiny_yolo(64), tiny_yolo(64, seed=1)
    two.metadata_props.add(key="date", value="today")
    two.doc_string, two.graph.doc_string, two.producer_name = "x", "y", "z"
    assert onnx_key(one) == onnx_key(two) != onnx_key(other)


@pytest.mark.parametrize("cut", [0, 1, 100, 5000])
def test_a_truncated_file_is_one_clear_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_yolo(64).SerializeToString()[:cut])
    with pytest.raises(ModelError, match="not a valid ONNX"):
        load_onnx(path)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_onnx(tmp_path / "no.onnx")
    with pytest.raises(InputError, match="directory"):
        load_onnx(tmp_path)


def _with_weights_elsewhere(location: str, *, nested: bool = False) -> onnx.ModelProto:
    model = tiny_yolo()
    tensor = model.graph.initializer[0]
    if nested:  # a constant inside a branch, where onnx's own loader of external data has missed some
        inner = helper.make_graph([], "branch", [], [], [])
        inner.initializer.add().CopyFrom(tensor)
        model.graph.node.add(op_type="If", name="if").attribute.add(name="then_branch", type=5).g.CopyFrom(
            inner
        )
        tensor = model.graph.node[-1].attribute[0].g.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value=location)
    return model


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd", ""])
@pytest.mark.parametrize("nested", [False, True])
def test_a_network_that_reads_other_files_is_refused(tmp_path: Path, location: str, nested: bool) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_with_weights_elsewhere(location, nested=nested).SerializeToString())
    with pytest.raises(ModelError, match="in another file") as caught:
        load_onnx(path)
    assert "onnx.save" in (caught.value.hint or "")


def test_an_engine_that_reads_other_files_is_refused_even_with_a_sidecar(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(10_000))
    data = _with_weights_elsewhere(str(secret)).SerializeToString()
    spec = read_spec(tiny_yolo(), "tiny")
    file = write_engine(EngineFile(tmp_path / "e.onnx", "onnxruntime", "fp32", spec, (), ""), data)
    with pytest.raises(ModelError, match="in another file"):
        load_engine(file)
