"""What is to be built, worked out as far as it decides whether a build is needed at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from yolotrt.artifacts.hashing import content_key
from yolotrt.artifacts.naming import default_place
from yolotrt.backends.base import RECORDED_ONLY, Backend, BuildConfig, EngineFile, Precision
from yolotrt.backends.own import is_made_from
from yolotrt.backends.profiles import Profile, batch_sizes
from yolotrt.backends.registry import engine_endings
from yolotrt.backends.sidecar import read_engine
from yolotrt.errors import YoloTrtError
from yolotrt.model.onnxfile import onnx_key
from yolotrt.model.scores import score_convolutions, with_shifted_scores
from yolotrt.model.spec import Head, ModelSpec
from yolotrt.quantization.algorithms import Algorithm
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.styles import measured_as
from yolotrt.quantization.trt_table import only_behind, trt_table
from yolotrt.workflow.calibrated_light import light_source

if TYPE_CHECKING:
    import onnx

RECIPE = 5
"""Version of the way from FP32 to other precisions; part of every engine's key."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        model: Weights (.pt), a model description (.yaml) or an ONNX file.
        precision: Precision of the engine.
        backend: A backend's name or ``auto``.
        profiles: Batch sizes the engine is to accept; backends that take any batch ignore it.
        images: Folder or file to calibrate INT8 on; None uses the calibration cache of the same network.
        limit: Use at most this many calibration images.
        algorithm: How activation ranges are chosen.
        tile_overlap: Calibrate on tiles with this overlap, too; None on letterboxed images only.
        imgsz: Side of the input of an export, or its height and width, px.
        head: Head of an export.
        output: The engine file; None names it by model, precision and backend in ``engines``, apart from
            engines of other models of that name.
        engines: Folder for ONNX files and engines.
        calib_data: Folder for calibration caches.
        implicit: Leave INT8 to TensorRT 10 and its calibration table instead of writing Q/DQ nodes.
        exclude: Convolutions that 8 bits leave in high precision; None lets the calibration choose.
        score_shift: What is added to the logits of all classes, so that scores are those of FP32; None takes
            what the calibration found.
        trust: Load weights without Ultralytics' restricted loader; they can run any code.
        force: Build again even if everything is up to date.
        overwrite: Put the engine also in the place of a file that is no engine of ours.
        options: Further fields of :class:`BuildConfig`.
    """

    model: Path
    precision: Precision = "fp32"
    backend: str = "auto"
    profiles: tuple[Profile, ...] = (Profile.fixed(1),)
    images: Path | None = None
    limit: int | None = None
    algorithm: Algorithm = "mse"
    tile_overlap: float | None = None
    imgsz: int | tuple[int, int] = 640
    head: Head | Literal["auto"] = "auto"
    output: Path | None = None
    engines: Path = Path("engines")
    calib_data: Path = Path("calib_data")
    implicit: bool = False
    exclude: tuple[str, ...] | None = None
    score_shift: float | None = None
    trust: bool = False
    force: bool = False
    overwrite: bool = False
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildPlan:
    """A request with its network exported, read and calibrated.

    Attributes:
        request: What was asked for.
        backend: The backend chosen for it.
        onnx_path: The FP32 network's file.
        model: The FP32 network.
        spec: Its interface.
        ranges: Activation ranges; None if the precision needs none.
        as_held: The network came in the precision wanted, and is built without calibrating or converting it.
    """

    request: BuildRequest
    backend: Backend
    onnx_path: Path
    model: onnx.ModelProto
    spec: ModelSpec
    ranges: CalibrationRanges | None
    as_held: bool = False

    @property
    def implicit(self) -> bool:
        """Whether TensorRT 10 quantises by its own table."""
        return self.request.implicit and self.ranges is not None

    @property
    def score_shift(self) -> float:
        """What is added to the logits of all classes; only INT8 of the default layers was measured."""
        request = self.request
        if request.score_shift is not None:
            return request.score_shift
        measured = request.precision == "int8" and request.exclude is None and not request.implicit
        if not measured or self.ranges is None or not score_convolutions(self.model, self.spec):
            return 0.0
        return round(self.ranges.shift.get(measured_as(self.backend.qdq_style), 0.0), 4)

    @property
    def fp32(self) -> onnx.ModelProto:
        """The FP32 network with the scores that the engine is to have."""
        shift = self.score_shift
        return with_shifted_scores(self.model, self.spec, shift) if shift else self.model

    def config(self) -> BuildConfig:
        """Return what the backend is told."""
        return BuildConfig(
            self.spec,
            self.request.profiles,
            self.request.precision,
            implicit=self.request.implicit,
            calibration_table=self._implicit_table(),
            **self.request.options,  # type: ignore[arg-type]
        )

    def _implicit_table(self) -> str | None:
        if not self.request.implicit or self.ranges is None:
            return None
        return trt_table(self.ranges, only_behind(self.model, self.spec.proto_output))

    def engine(self) -> EngineFile:
        """Return the engine file as its sidecar will describe it, still without a hash."""
        request, backend, config = self.request, self.backend, self.config()
        sources = {"onnx": onnx_key(self.model), "onnx_file": str(self.onnx_path), "recipe": str(RECIPE)}
        if self.as_held:
            sources["precision_from"] = "the ONNX file"
        if self.ranges is not None:
            ranges = {n: asdict(r) for n, r in self.ranges.tensors.items()}
            sources["calibration"] = content_key(ranges)
            sources["calibration_algorithm"] = self.ranges.key.algorithm
            sources |= light_source(self.ranges.seen)
            if request.exclude is None:  # the calibration chooses what stays in high precision
                sources["noise"] = content_key(self.ranges.noise.get(measured_as(backend.qdq_style), {}))
        if request.exclude is not None:
            sources["excluded"] = json.dumps(request.exclude)
        if self.score_shift:
            sources["score_shift"] = f"{self.score_shift:.4f}"
        return EngineFile(
            path=request.output or self._default_place(sources["onnx"]),
            backend=backend.name,
            precision=request.precision,
            spec=self.spec,
            batches=() if backend.any_batch else batch_sizes(config.profiles),
            sha256="",
            sources=sources,
            environment=backend.environment(config),
        )

    def _default_place(self, key: str) -> Path:
        places = [
            default_place(
                self.request.engines,
                self.onnx_path.stem,
                f".{self.request.precision}{ending}",
                self.onnx_path,
                lambda engine: is_made_from(engine, key, self.spec.names, self.onnx_path),
            )
            for ending in engine_endings(self.backend.name)
        ]
        return next((place for place in places if place.exists()), places[0])


def up_to_date(wanted: EngineFile) -> EngineFile | None:
    """Return the engine on disk if it is what would be built now."""
    try:
        ready = read_engine(wanted.path)
    except YoloTrtError:
        return None
    same = (
        ready.backend == wanted.backend
        and ready.precision == wanted.precision
        and ready.spec == wanted.spec
        and ready.batches == wanted.batches
        and _made_from(ready) == _made_from(wanted)
        and _tied(ready) == _tied(wanted)
    )
    return ready if same else None


def _made_from(file: EngineFile) -> dict[str, str]:
    # The content counts; where it lay is remembered for the command that builds the engine again.
    return {k: v for k, v in file.sources.items() if k != "onnx_file"}


def _tied(file: EngineFile) -> dict[str, str]:
    return {k: v for k, v in file.environment.items() if k not in RECORDED_ONLY}
