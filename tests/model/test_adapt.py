"""Foreign networks come out in one shape and compute the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tests import foreign
from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.admission import admit
from yolotrt.backends.loading import load_engine
from yolotrt.errors import ModelError
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec

IMAGES = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)

FOREIGN: dict[str, tuple[Callable[[onnx.ModelProto], onnx.ModelProto], float]] = {
    "transposed": (foreign.transposed, 0),
    "half input": (lambda m: foreign.taking(m, TensorProto.FLOAT16), 0.002),
    "bfloat16 input": (lambda m: foreign.taking(m, TensorProto.BFLOAT16), 0.02),
    "double input": (lambda m: foreign.taking(m, TensorProto.DOUBLE), 0),
    "half outputs": (lambda m: foreign.giving(m, TensorProto.FLOAT16), 0.001),
    "double outputs": (lambda m: foreign.giving(m, TensorProto.DOUBLE), 0),
    "backwards": (foreign.backwards, 0),
    "unnamed": (lambda m: foreign.named_all(m, ""), 0),
    "one name for all": (lambda m: foreign.named_all(m, "node"), 0),
    "feature maps": (foreign.with_maps, 0),
    "prototypes first": (foreign.prototypes_first, 0),
    "open sizes": (foreign.open_sizes, 0),
    "all at once": (
        lambda m: foreign.named_all(
            foreign.backwards(
                foreign.giving(
                    foreign.transposed(foreign.taking(m, TensorProto.FLOAT16)), TensorProto.FLOAT16
                )
            ),
            "",
        ),
        0.003,
    ),
}


def _expected() -> list[np.ndarray]:
    session = ort.InferenceSession(tiny_yolo().SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output0", "output1"], {"images": IMAGES})


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_network_is_read_and_run_as_it_stands(tmp_path: Path, kind: str) -> None:
    change, tolerance = FOREIGN[kind]
    path = tmp_path / "m.onnx"
    path.write_bytes(change(tiny_yolo()).SerializeToString())
    model = load_onnx(path)
    onnx.checker.check_model(model, full_check=True)
    assert {i.type.tensor_type.elem_type for i in (*model.graph.input, *model.graph.output)} == {1}
    names = [node.name for node in model.graph.node]
    assert "" not in names
    assert len(set(names)) == len(names)
    own = read_spec(tiny_yolo(), "m")
    assert read_spec(model, "m") == own

    file = admit(path, trust=True)
    assert file.spec == own
    engine = load_engine(file, "cpu")
    context = engine.new_context(2)
    context.images[:] = IMAGES
    for found, wanted in zip(context.run(), _expected(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=max(1e-5, tolerance * float(np.abs(wanted).max())))
    engine.close()


def test_one_of_ours_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_yolo().SerializeToString())
    assert load_onnx(path) == tiny_yolo()


def test_the_order_of_nodes_is_not_part_of_a_network(tmp_path: Path) -> None:
    """Nodes that do not depend on each other may change places; those that do are put right."""
    path = tmp_path / "m.onnx"
    path.write_bytes(foreign.backwards(foreign.backwards(tiny_yolo())).SerializeToString())
    assert onnx_key(load_onnx(path)) == onnx_key(tiny_yolo())


def test_p6_is_one_level_more(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_yolo(128, p6=True).SerializeToString())
    spec = read_spec(load_onnx(path), "m")
    assert (spec.head, spec.stride, spec.names) == ("raw", 64, ("cat", "dog"))


def test_nodes_that_need_each_other_are_no_damage(tmp_path: Path) -> None:
    model = tiny_yolo()
    for a, b in (("left", "right"), ("right", "left")):
        model.graph.node.append(helper.make_node("Neg", [a], [b], name=b))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="topologically") as caught:
        load_onnx(path)
    assert "need each other" in (caught.value.hint or "")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_network_that_never_ends_is_not_started(tmp_path: Path, wrapped: bool) -> None:
    model = foreign.looping(tiny_yolo())
    if wrapped:  # in a branch, where a search of the main graph does not see it
        loop = model.graph.node.pop()
        then = helper.make_graph([loop], "then", [], [helper.make_tensor_value_info("output0", 1, None)])
        other = helper.make_graph(
            [helper.make_node("Identity", [loop.input[2]], ["other"])],
            "else",
            [],
            [helper.make_tensor_value_info("other", 1, None)],
        )
        model.graph.node.append(
            helper.make_node("If", ["yes"], ["output0"], then_branch=then, else_branch=other, name="if")
        )
        then.node[0].output[0] = "looped"
        then.output[0].name = "looped"
        model.graph.node[-1].attribute[0].g.CopyFrom(then)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"Loop .*never end"):
        load_onnx(path)
