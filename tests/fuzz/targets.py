"""Every parser of files that may come from elsewhere, as a function of bytes, with a good file to start from.

A target gives a value or raises a YoloTrtError. Whatever else comes out of it is a bug. Where a parsed file
is handed on, what reads it next belongs to the target: a parser that lets nonsense through fails there.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from tests.data.clips import clip
from tests.tiny_yolo import tiny_yolo
from tests.workflow.test_documents import SAMPLES
from yolotrt.artifacts.documents import read_json
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import read_sidecar, sidecar_path, write_engine
from yolotrt.backends.tensorrt.ultralytics import split
from yolotrt.bench.advice import advise
from yolotrt.bench.result import Case, CaseResult, Endings, RunResult, TimelineSpan, read_result, write_result
from yolotrt.bench.settings import Settings
from yolotrt.data.coco.instances import read_instances
from yolotrt.data.coco.manifest import read_manifest
from yolotrt.data.fetch.rangezip import open_archive, unpack
from yolotrt.data.formats.reader import images_of
from yolotrt.data.video_file import VideoFile
from yolotrt.errors import ArtifactError, InputError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.machine.environment import EngineRecord, Environment
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.quantization.cache import read_ranges, write_ranges
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, TensorRange
from yolotrt.quantization.trt_table import trt_table
from yolotrt.report.markdown import result_markdown
from yolotrt.report.page import page
from yolotrt.report.spreadsheet import to_csv
from yolotrt.report.tables import latency_table, stage_table
from yolotrt.workflow.describe import describe
from yolotrt.workflow.documents import document_in
from yolotrt.workflow.pipeline_yaml import GROUPS, TILES_ENGINE, read_pipeline, update_pipeline


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        parse: Reads the bytes; may write them into the empty folder.
        seeds: Files it reads without an error.
        json: Whether they are JSON, so that their structure can be damaged and not only their bytes.
        refuses: Whether it refuses anything; else what it does not understand has another meaning.
    """

    parse: Callable[[bytes, Path], Any]
    seeds: Callable[[Path], list[bytes]]
    json: bool = False
    refuses: bool = True


def _written(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _ranges() -> CalibrationRanges:
    found = TensorRange(-0.5, 2.0, 2.0, -0.6, 2.5, 0.3, 1000, (-0.5, -0.4, 0.1, 1.0, 2.0))
    key = CalibrationKey("k" * 64, (("a.jpg", "d" * 64),), {"wh": [64, 64]}, "mse")
    return CalibrationRanges({"x": found, "y": found}, key, {"cpu": {"c": 0.1}, "gpu": {"c": 0.2}})


def _calibration_seeds(folder: Path) -> list[bytes]:
    return [write_ranges(folder / "c.json", _ranges()).read_bytes()]


def _calibration(data: bytes, folder: Path) -> None:
    ranges = read_ranges(_written(data, folder, "c.json"))
    trt_table(ranges)
    assert ranges.key.changes_since(ranges.key) == ()
    describe(folder / "c.json")


def _sidecar_seeds(folder: Path) -> list[bytes]:
    spec = read_spec(tiny_yolo(), "tiny")
    sources, environment = {"onnx": "k"}, {"onnxruntime": "1"}
    file = EngineFile(folder / "e.onnx", "onnxruntime", "fp32", spec, (1, 4), "", sources, environment)
    write_engine(file, b"engine")
    return [sidecar_path(file.path).read_bytes()]


def _sidecar(data: bytes, folder: Path) -> None:
    read_sidecar(folder / "e.onnx" if _written(data, folder, "e.onnx.json") else folder)
    describe(folder / "e.onnx.json")


def _result_seeds(folder: Path) -> list[bytes]:
    stages = ("prepare_batch", "enqueue", "stream_sync", "decode", "merge", "tiles", "global", "end_to_end")
    packages, engines = {"numpy": "2"}, {"e": EngineRecord(sha256="0")}
    environment = Environment("0", "3", "x", "c", 2, 2, None, 0.5, None, None, packages, engines=engines)
    span = TimelineSpan("tiles", None, "tiles", "host", 0.0, 0.01)
    cases = tuple(
        CaseResult(
            Case("e.onnx", "fp32", "tiled", "serial", groups),
            {stage: [None if stage == "global" else 0.01 * i for i in range(1, 9)] for stage in stages},
            [0.02],
            3,
            (span,),
        )
        for groups in (1, 2)
    )
    settings = Settings(iterations=8, modes=("tiled",), threads=2)
    result = RunResult(
        settings, environment, cases, ("note",), None, 1.0, (), Endings("iterations", "stable")
    )
    return [write_result(folder / "r.json", result).read_bytes()]


def _result(data: bytes, folder: Path) -> None:
    result = read_result(_written(data, folder, "r.json"))
    console = Console(file=io.StringIO(), width=160)
    console.print(latency_table(result))
    console.print(stage_table(result))
    advise(result)
    result_markdown(result)
    to_csv([result])
    page([result])
    describe(folder / "r.json")


def _header_seeds(_: Path) -> list[bytes]:
    header = json.dumps({"names": {"0": "cat", "1": "dog"}, "stride": 32, "imgsz": [64, 64]}).encode()
    return [len(header).to_bytes(4, "little") + header + b"ftrt" + bytes(64), b"ftrt" + bytes(64)]


def _header(data: bytes, _: Path) -> None:
    metadata, plan = split(data)
    assert data.endswith(plan)
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items())


YAML = b"""# an application
models:
  yolo_tiles: {engine: a.engine, enabled: yes}
  yolo_global: &g
    engine: "b.engine"   # whole
    enabled: true
yolo_tiles_parallel:
  enabled: true
  groups: 4
list: [1, 2, {a: b}]
text: |
  block
"""


def _yaml(data: bytes, folder: Path) -> None:
    path = _written(data, folder, "pipeline.yaml")
    for name in ("a.engine", "b.engine", "c.engine"):
        (folder / name).touch()
    read_pipeline(path)
    update_pipeline(path, {TILES_ENGINE: "c.engine", GROUPS: 2})
    assert read_pipeline(path).engines[0].name == "c.engine"


def _coco_seeds(_: Path) -> list[bytes]:
    document = {
        "info": {},
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1.0, 2, 30, 20], "area": 300.5, "iscrowd": 0,
             "segmentation": [[1, 2, 31, 2, 31, 22, 1, 22]]},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0, 0, 64, 48], "area": 3072, "iscrowd": 1,
             "segmentation": {"size": [48, 64], "counts": [10, 3000, 62]}},
            {"id": 3, "image_id": 1, "category_id": 3, "bbox": [0, 0, 64, 48], "area": 3072, "iscrowd": 1,
             "segmentation": {"size": [48, 64], "counts": "PP3"}},
        ],
    }  # fmt: skip
    return [json.dumps(document).encode()]


def _coco(data: bytes, folder: Path) -> None:
    path = _written(data, folder, "i.json")
    try:
        for image in read_instances(path).images:
            assert Path(image.name).name == image.name
    except ArtifactError:
        pass  # this one wants COCO's own file names; the next one takes any
    (folder / "a.jpg").touch()
    truth = load_ground_truth(path)
    with contextlib.suppress(InputError):
        for found in truth.files(folder):
            assert folder in found.resolve().parents


YOLO_LABELS = b"0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.25\n"
YOLO_DATA = b"""path: .
train: [images, list.txt]
val: images
nc: 2
names:
  0: cat
  1: dog
"""


def _yolo(description: bytes, labels: bytes, folder: Path) -> None:
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros((48, 64, 3), np.uint8))
    _written(labels, folder, "labels/a.txt")
    _written(b"images/a.png\n", folder, "list.txt")
    for image in load_ground_truth(_written(description, folder, "data.yaml")).images:
        assert image.path is not None
    images_of(folder / "data.yaml")


def _manifest_seeds(_: Path) -> list[bytes]:
    entry = {
        "file": "images/000000000001.jpg", "split": "all", "source": "http://x/1.jpg", "size_wh": [64, 48],
        "bytes": 10, "sha256": "0" * 64, "checked_by": "crc32",
    }  # fmt: skip
    head = {"format": "yolotrt-coco-subset", "version": 1, "request": {}, "source": "x"}
    return [json.dumps({**head, "annotations_sha256": "0", "complete": True, "files": [entry]}).encode()]


def _manifest(data: bytes, folder: Path) -> None:
    _written(data, folder, "manifest.json")
    for entry in read_manifest(folder).files:
        assert folder.resolve() in (folder / entry.file).resolve().parents


@functools.cache
def _small_onnx() -> bytes:
    return tiny_yolo().SerializeToString()


def _onnx(data: bytes, folder: Path) -> None:
    model = load_onnx(_written(data, folder, "m.onnx"))
    onnx_key(model)
    spec = read_spec(model, "m")
    assert min(*spec.input_wh, spec.stride, spec.mask_coeffs, spec.batch or 1) > 0


def _zip_seeds(_: Path) -> list[bytes]:
    seeds = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.comment = b"a comment"
            archive.writestr("val2017/a.jpg", b"picture" * 20)
            archive.writestr("b.json", b"{}")
            with archive.open(zipfile.ZipInfo("big"), "w", force_zip64=True) as member:
                member.write(b"64 bit sizes")
        seeds.append(buffer.getvalue())
    return seeds


def _zip(data: bytes, _: Path) -> None:
    def read(offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        assert offset + length <= len(data), "asked for what is not there"
        return data[offset : offset + length]

    archive = open_archive("http://x/a.zip", read, len(data))
    for name in list(archive.members)[:8]:
        member = archive.member(name)
        total = sum(len(part) for part in unpack(archive, member, archive.chunks(member)))
        assert total == member.size


def _video_seeds(folder: Path) -> list[bytes]:
    """A video of each family of containers."""
    fast = {"movflags": "faststart"}
    return [
        clip(folder / name, 4, muxing=fast if name == "v.mp4" else None).read_bytes()
        for name in ("v.mp4", "v.mkv")
    ]


def _video(data: bytes, folder: Path) -> None:
    with closing(VideoFile(_written(data, folder, "v"))) as video:
        for found in itertools.islice(video.frames(), 100):
            assert len(found.image.shape) == 3
        video.remarks()


def _documents_seeds(_: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))]


def _documents(data: bytes, folder: Path) -> None:
    document = document_in(read_json(path := _written(data, folder, "d.json")))
    if document is None:
        raise ArtifactError("none of ours")
    value = document.parse(path, read_json(path))
    assert document.read(document.write(folder / "again.json", value)) == value
    describe(path)


TARGETS: dict[str, Target] = {
    "calibration-cache": Target(_calibration, _calibration_seeds, json=True),
    "coco-instances": Target(_coco, _coco_seeds, json=True),
    "coco-manifest": Target(_manifest, _manifest_seeds, json=True),
    "documents": Target(_documents, _documents_seeds, json=True),
    "engine-header": Target(_header, _header_seeds, refuses=False),
    "onnx": Target(_onnx, lambda _: [_small_onnx()]),
    "pipeline-yaml": Target(_yaml, lambda _: [YAML]),
    "result": Target(_result, _result_seeds, json=True),
    "sidecar": Target(_sidecar, _sidecar_seeds, json=True),
    "video": Target(_video, _video_seeds),
    "yolo-description": Target(
        lambda data, folder: _yolo(data, YOLO_LABELS, folder), lambda _: [YOLO_DATA], refuses=False
    ),
    "yolo-labels": Target(
        lambda data, folder: _yolo(YOLO_DATA, data, folder), lambda _: [YOLO_LABELS], refuses=False
    ),
    "zip-directory": Target(_zip, _zip_seeds),
}
