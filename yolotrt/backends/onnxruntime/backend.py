"""ONNX Runtime as a backend: the embedded one, which makes every command work anywhere."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import (
    Availability,
    BuildConfig,
    BuiltEngine,
    Engine,
    EngineFile,
    Figure,
    LayerTime,
    Placement,
    Precision,
    QdqStyle,
)
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine, mapped_errors, new_session
from yolotrt.errors import UsageError
from yolotrt.model.held import held_precision
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.backends.onnxruntime.gpu import OnnxRuntimeCudaEngine
    from yolotrt.cuda.device import Device
    from yolotrt.cuda.machine import Machine


class OnnxRuntimeBackend:
    """Engines are ONNX files; any batch size runs on any of them."""

    name = "onnxruntime"
    suffix = ".onnx"
    foreign_suffixes: tuple[str, ...] = ()  # an ONNX file is a network first
    qdq_style: QdqStyle = "cpu"
    runs_on_cpu = True
    any_batch = True
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    retunes = False
    measured = ""
    triton = ("onnxruntime", "model.onnx")
    packages = ("onnxruntime", "onnxruntime-gpu")

    def availability(self) -> Availability:
        """ONNX Runtime is a core dependency: it is there, and its CPU provider always works."""
        import onnxruntime as ort

        return Availability(True, f"{ort.__version__} on {_device()}", builds=True)

    def placement(self, precision: Precision) -> Placement:
        """Return the first GPU for floating point where the CUDA provider works, else the processor."""
        if precision not in ("fp32", "fp16"):
            # Its Q/DQ pairs are placed for the processor's kernels; the CUDA provider computes them in FP32.
            return Placement((), f"this {precision} engine was made for the processor")
        from yolotrt.backends.onnxruntime.provider import availability

        state = availability()
        return Placement((0,) if state.usable else (), state.reason)

    def worthwhile(self, device: str) -> tuple[Precision, ...]:
        """Return FP32 and what may beat it.

        A processor computes FP16 no faster than FP32, and the CUDA provider computes INT8 networks in FP32.
        """
        on_gpu = bool(self.placement("fp32").gpus) if device == "auto" else device != "cpu"
        return ("fp32", "fp16") if on_gpu else ("fp32", "int8")

    def check(self, config: BuildConfig) -> None:
        """Refuse what only TensorRT has: an engine without it would be another than was asked for."""
        asked = {
            "--fp8": config.precision == "fp8",
            "--implicit": config.implicit,
            "--version-compatible": config.version_compatible,
            "--hardware-compatible": config.hardware_compatible,
            "--compute-capability": config.compute_capabilities,
        }
        for option, value in asked.items():
            if value:
                raise UsageError(
                    f"ONNX Runtime has no {option}.",
                    hint="Add --backend tensorrt, or --backend tensorrt-rtx.",
                )

    def environment(self, config: BuildConfig) -> dict[str, str]:
        """Return the library version and the processor architecture."""
        import onnxruntime as ort

        return {"onnxruntime": ort.__version__, "device": _device()}

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        """Return the network as it is, after ONNX Runtime has run it once.

        Raises:
            BuildError: Its outputs hold NaN or infinity, or this ONNX Runtime would quantise FP16 wrongly.
        """
        from yolotrt.backends.onnxruntime.check import require_finite_outputs, require_rounding

        progress("check with ONNX Runtime", 0, 1)
        require_rounding(model, config)
        data: bytes = model.SerializeToString()
        session = new_session(data, "the network", threads=1)
        with mapped_errors("the network"):
            require_finite_outputs(session, model, config)
        progress("check with ONNX Runtime", 1, 1)
        return BuiltEngine(data)

    def timings(self, cache: Path) -> None:
        """Return None: it times nothing."""

    def load(self, file: EngineFile) -> OnnxRuntimeEngine:
        """Load an engine on the processor.

        Raises:
            ArtifactError: ONNX Runtime cannot read it.
        """
        return OnnxRuntimeEngine(file)

    def load_on(self, file: EngineFile, device: Device) -> OnnxRuntimeCudaEngine:
        """Load an engine on a GPU; see :func:`yolotrt.backends.onnxruntime.gpu.load`."""
        from yolotrt.backends.onnxruntime.gpu import load

        return load(file, device)

    def adopt(self, path: Path, machine: Machine) -> EngineFile | None:
        """Describe an ONNX file that was not built here, to be run as it stands."""
        if path.suffix != ".onnx":
            return None
        model = load_onnx(path)
        sources = {"onnx": onnx_key(model), "onnx_file": path.name}
        spec = read_spec(model, path.stem)
        return EngineFile(path, self.name, held_precision(model), spec, (), sha256_file(path), sources)

    def describe(self, file: EngineFile, machine: Machine) -> dict[str, Any]:
        """Return nothing: an ONNX file tells no more than its sidecar."""
        return {}

    def network(self, file: EngineFile) -> onnx.ModelProto | None:
        """Return the engine's own file, which is the network."""
        return load_onnx(file.path)

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        """Return what FP16 means on a processor."""
        if file.precision == "fp16":
            return ("a CPU computes FP16 in FP32; this engine is not faster than --fp32 here.",)
        return ()

    def remarks(self, file: EngineFile, of: Figure, *, on_gpu: bool) -> tuple[str, ...]:
        """Return where a processor's time goes, and in what it computes FP16."""
        if on_gpu:
            return ()
        if of == "latency":
            return ("ONNX Runtime's CPU provider computes inside enqueue; there is no stream to wait for.",)
        if file.precision == "fp16":
            return (
                f"{file.path.name} is computed in FP32 here: on a CPU, ONNX Runtime keeps FP16's weights but "
                "not its arithmetic, so this is not the loss that FP16 has on a GPU.",
            )
        return ()

    def build_options(self, file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
        """Return nothing: any batch size goes, and there are no options."""
        return []

    def layer_times(self, engine: Engine, batch: int | None, iterations: int) -> tuple[int, list[LayerTime]]:
        """Refuse: ONNX Runtime times layers only into files of its own.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{engine.file.path} is an engine of {self.name}, which does not time its layers.",
            hint="yolotrt bench measures every kind of engine.",
        )

    def roofline(
        self, file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
    ) -> dict[str, Any]:
        """Refuse: ONNX Runtime fuses layers in memory only.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{file.path} is an engine of {self.name}, which does not say what its layers have to do.",
            hint="Engines of the fused backend do: yolotrt build MODEL --fp16 --backend fused",
        )


def _device() -> str:
    return f"cpu ({platform.machine()})"
