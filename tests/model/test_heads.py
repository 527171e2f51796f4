"""Heads are told by rows, columns, names, metadata and operators together."""

from __future__ import annotations

import pytest

from yolotrt.errors import ModelError
from yolotrt.model.interface import Interface, Port
from yolotrt.model.reading import contradiction, read_interface
from yolotrt.model.spec import Head

NAMES = {1: "{0: 'a'}", 2: "{0: 'a', 1: 'b'}", 3: "['a', 'b', 'c']"}


def _interface(
    rows: int,
    columns: int,
    *,
    wh: tuple[int, int] = (64, 64),
    coeffs: int = 32,
    operators: tuple[str, ...] | None = ("Conv",),
    **properties: str,
) -> Interface:
    width, height = wh
    return Interface(
        (Port("images", "float", ("batch", 3, height, width)),),
        (
            Port("output0", "float", ("batch", rows, columns)),
            Port("output1", "float", ("batch", coeffs, height // 4, width // 4)),
        ),
        properties,
        None if operators is None else frozenset(operators),
    )


@pytest.mark.parametrize(
    ("rows", "columns", "wh", "classes", "stride"),
    [
        (116, 8400, (640, 640), 80, 32),
        (37, 84, (64, 64), 1, 32),  # one class
        (116, 34000, (1280, 1280), 80, 64),  # P6
        (38, 340, (128, 128), 2, 64),
        (116, 5040, (640, 384), 80, 32),  # not square
        (116, 34000, (640, 640), 80, 32),  # P2: a level of stride 4, too
        (38, 2000, (640, 640), 2, 32),  # a tiny model's levels of 16 and 32
    ],
)
def test_raw_heads_of_all_levels(
    rows: int, columns: int, wh: tuple[int, int], classes: int, stride: int
) -> None:
    spec = read_interface(_interface(rows, columns, wh=wh), "x")
    assert (spec.head, len(spec.names), spec.stride) == ("raw", classes, stride)


def test_heads_with_other_numbers_of_coefficients() -> None:
    assert len(read_interface(_interface(4 + 3 + 64, 84, coeffs=64), "x").names) == 3
    assert read_interface(_interface(300, 6 + 64, coeffs=64), "x").head == "end2end"


@pytest.mark.parametrize(("size", "rows"), [(64, 252), (640, 25200)])
@pytest.mark.parametrize("names", [{"names": NAMES[1]}, {}])
def test_an_anchor_based_head_of_one_class_is_called_by_its_name(
    size: int, rows: int, names: dict[str, str]
) -> None:
    with pytest.raises(ModelError, match="YOLOv5-seg or YOLOv7-seg"):
        read_interface(_interface(rows, 38, wh=(size, size), **names), "x")


@pytest.mark.parametrize(("rows", "columns"), [(25500, 117), (117, 25200)])
def test_anchor_based_heads_of_many_classes_and_levels(rows: int, columns: int) -> None:
    with pytest.raises(ModelError, match="objectness, 80 class"):
        read_interface(_interface(rows, columns, wh=(640, 640)), "x")


@pytest.mark.parametrize(
    ("operators", "properties", "head"),
    [
        (("Conv",), {"names": NAMES[2]}, None),
        (("Conv",), {}, None),
        (("Conv", "TopK"), {"names": NAMES[2]}, "end2end"),
        (("Conv", "NonMaxSuppression"), {}, "end2end"),
        (("Conv",), {"names": NAMES[2], "end2end": "True"}, "end2end"),
        (("Conv",), {"args": "{'batch': 1, 'nms': True}"}, "end2end"),
        (("Conv",), {"names": NAMES[3]}, "end2end"),  # a transposed head would be one of two classes
        (None, {"names": NAMES[3]}, "end2end"),
        (None, {"names": NAMES[2]}, None),
    ],
)
def test_as_many_detections_as_cells(
    operators: tuple[str, ...] | None, properties: dict[str, str], head: Head | None
) -> None:
    """84 x 38 at 64 px is end to end, or raw, transposed, of two classes."""
    interface = _interface(84, 38, operators=operators, **properties)
    if head is None:
        with pytest.raises(ModelError, match="transposed raw head"):
            read_interface(interface, "x")
    else:
        assert read_interface(interface, "x").head == head
    assert read_interface(interface, "x", known="end2end").head == "end2end"


def test_metadata_does_not_overrule_a_shape_that_fits_one_head() -> None:
    for said in ({"end2end": "True"}, {"task": "detect"}, {"nms": "true"}, {"stride": "64"}):
        assert read_interface(_interface(37, 84, **said), "x").head == "raw"


@pytest.mark.parametrize("task", ["detect", "pose", "obb", "classify"])
def test_other_tasks_are_named(task: str) -> None:
    whole = _interface(37, 84, task=task)
    alone = Interface(whole.inputs, whole.outputs[:1], whole.properties)
    with pytest.raises(ModelError, match=f"another task \\('{task}'\\)"):
        read_interface(alone, "x")


def test_an_objectness_column_is_suspected() -> None:
    with pytest.raises(ModelError, match=r"2 names for 3 classes .*objectness"):
        read_interface(_interface(4 + 3 + 32, 84, names=NAMES[2]), "x")


@pytest.mark.parametrize(
    ("dims", "kind", "message"),
    [
        (("batch", 64, 64, 3), "float", "channels first"),
        (("batch", 3, 64, 64), "uint8", "as uint8"),
        (("batch", 3, 31, 64), "float", "cannot be"),
        (("batch", 3, 1 << 40, 64), "float", "cannot be"),
        ((0, 3, 64, 64), "float", "cannot be"),
    ],
)
def test_inputs_that_cannot_be_filled(dims: tuple[int | str, ...], kind: str, message: str) -> None:
    outputs = _interface(37, 84).outputs
    with pytest.raises(ModelError, match=message):
        read_interface(Interface((Port("images", kind, dims),), outputs, {}), "x")


def test_end_to_end_without_names_has_numbers() -> None:
    names = read_interface(_interface(300, 38), "x").names
    assert (names[0], names[79]) == ("class0", "class79")


def test_what_a_file_says_is_held_against_the_network() -> None:
    network = _interface(38, 84, names=NAMES[2])
    spec = read_interface(network, "x")
    assert contradiction(spec, network) is None
    assert contradiction(spec, _interface(38, 84)) is None  # a network without names cannot object
    assert "class names, the network 1" in (contradiction(spec, _interface(37, 84)) or "")
    assert "calls a class 'b'" in (contradiction(spec, _interface(38, 84, names="['a', 'x']")) or "")
    assert "input_wh (64, 64)" in (contradiction(spec, _interface(38, 336, wh=(128, 128))) or "")
    assert "neither" in (contradiction(spec, _interface(38, 90)) or "")
