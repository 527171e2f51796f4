"""The fused engine as a backend."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
from yolotrt.backends.fused.compile import TARGETS, require_triton
from yolotrt.backends.layers import describe_layers
from yolotrt.cuda.machine import HERE
from yolotrt.errors import DeviceError, EnvironmentFault, MissingDependency, UsageError
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.artifacts.kinds import Kind
    from yolotrt.backends.fused.runtime import FusedEngine
    from yolotrt.cuda.device import Device
    from yolotrt.cuda.machine import Machine

RECIPE = "3"
"""Changes whenever the same network would become another engine."""


class FusedBackend:
    """Engines of our own kernels: Triton builds them, an NVIDIA driver runs them."""

    name = "fused"
    suffix = ".fused"
    foreign_suffixes: tuple[str, ...] = ()
    qdq_style: QdqStyle = "gpu"
    runs_on_cpu = False
    any_batch = False
    packages = ("triton",)
    precisions: tuple[Precision, ...] = ("fp16", "int8")
    retunes = True
    measured = "a quarter of ONNX Runtime's time for YOLO11n-seg on an H200"
    triton = None

    def availability(self) -> Availability:
        """Say whether a GPU can run engines here, and whether Triton can build them."""
        try:
            version: str | None = require_triton()
            builder, hint = f"Triton {version}", None
        except MissingDependency as exc:
            version, builder, hint = None, "Triton is not installed: runs engines, builds none", exc.hint
        builds = version is not None
        try:
            count = HERE.count()
        except MissingDependency as exc:
            return Availability(False, f"{builder}. {exc.message}", builds=builds, hint=exc.hint)
        if not count:
            return Availability(
                False, f"{builder}. No NVIDIA GPU or driver was found.", builds=builds, hint=hint
            )
        return Availability(
            True, f"{builder}, {count} GPU{'s' if count > 1 else ''}", builds=builds, hint=hint
        )

    def placement(self, precision: Precision) -> Placement:
        """Return the first GPU: there are no kernels for anything else."""
        return Placement((0,), f"{self.name} runs on GPUs only")

    def worthwhile(self, device: str) -> tuple[Precision, ...]:
        """Return FP16 and INT8, which its kernels compute in."""
        return ("fp16", "int8")

    def check(self, config: BuildConfig) -> None:
        """Refuse what the kernels cannot compute and what only TensorRT has."""
        if config.precision not in self.precisions:
            raise UsageError(
                f"The fused backend builds FP16 and INT8 engines, not {config.precision.upper()}.",
                hint="Add --fp16 or --int8, or choose another --backend.",
            )
        asked = {
            "--version-compatible": config.version_compatible,
            "--hardware-compatible": config.hardware_compatible,
        }
        for option, value in asked.items():
            if value:
                raise UsageError(
                    f"The fused backend has no {option}.",
                    hint="Name the GPUs instead: --targets sm_86,sm_89,sm_120",
                )
        if config.spec.batch not in (None, 1):
            raise UsageError(
                f"{config.spec.name} takes batches of exactly {config.spec.batch}.",
                hint="Export the weights with yolotrt export: its ONNX files take any batch size.",
            )
        require_triton()
        targets = _targets(config)
        if config.retune:
            _require_gpu_for(targets)

    def environment(self, config: BuildConfig) -> dict[str, str]:
        """Return targets, batch sizes, compiler and the GPU that kernels are timed on."""
        targets, device = _targets(config), _device()
        timed = device is not None and device.info.arch in targets
        found = {
            "recipe": RECIPE,
            "triton": require_triton(),
            "targets": ",".join(target.upper().replace("_", "") for target in targets),
            "profiles": ",".join(map(str, config.profiles)),
            "tuned_on": device.info.name if device is not None and timed else "nothing",
        }
        if device is not None and timed:
            found["driver"] = f"CUDA {device.info.driver}"
        return found

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        """Plan the network, time its kernels where a GPU allows it, and compile them.

        Raises:
            MissingDependency: Triton is not installed.
            BuildError: The network holds what no kernel computes.
        """
        from yolotrt.backends.fused.assemble import assemble, layers_of
        from yolotrt.backends.fused.file import write
        from yolotrt.backends.fused.planner import NetworkPlan
        from yolotrt.backends.fused.selection import select
        from yolotrt.backends.fused.timings import timings_beside
        from yolotrt.backends.fused.tuning import GpuTuner

        progress("plan", 0, 1)
        plan = NetworkPlan(model, config.spec)
        progress("plan", 1, 1)
        targets, device = _targets(config), _device()
        with ExitStack() as processes:
            tuner = None
            if device is not None and device.info.arch in targets:
                cache = config.timing_cache and timings_beside(config.timing_cache)
                compiler = f"triton {require_triton()} recipe {RECIPE}"
                tuner = processes.enter_context(GpuTuner(device, cache, compiler, fresh=config.retune))
            selection = select(plan, targets, max(p.best for p in config.profiles), tuner, progress)
            network = plan.network(selection.chosen)
            engine = assemble(network, targets, config.profiles, tuner, progress)
        return BuiltEngine(write(engine), layers_of(network, selection.reasons))

    def timings(self, cache: Path) -> tuple[Path, Kind]:
        """Return the document beside the cache that holds times of kernels."""
        from yolotrt.backends.fused.timings import KIND, timings_beside

        return timings_beside(cache), KIND

    def load(self, file: EngineFile) -> FusedEngine:
        """Refuse: the kernels run on GPUs only.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{file.path} is an engine of {self.name}, which runs on GPUs only.")

    def load_on(self, file: EngineFile, device: Device) -> FusedEngine:
        """Load an engine on a GPU that the caller has opened."""
        from yolotrt.backends.fused.runtime import load

        return load(file, device)

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        """Return how much is INT8, and that kernels were chosen by rule, where no GPU timed them."""
        found = []
        if file.precision == "int8":
            whole = sum("INT8" in layer.weights for layer in file.layers)
            found.append(
                f"{whole} of its {len(file.layers)} kernels multiply INT8; yolotrt inspect --layers says why "
                "the other convolutions are FP16."
            )
        if file.environment.get("tuned_on") == "nothing":
            also = ", and so was what is INT8" if file.precision == "int8" else ""
            found.append(f"its kernels were chosen by rule{also}; built on the GPU itself they are timed.")
        return tuple(found)

    def remarks(self, file: EngineFile, of: Figure, *, on_gpu: bool) -> tuple[str, ...]:
        """Return nothing: latency and accuracy are what they seem to be."""
        return ()

    def build_options(self, file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
        """Return batch sizes and, unless it is for the GPU at hand, the GPUs."""
        known = file.environment
        words = ["--batch", batches or known.get("profiles") or ",".join(map(str, file.batches))]
        if known.get("targets") and not here:
            words += ["--targets", known["targets"]]
        return words

    def adopt(self, path: Path, machine: Machine) -> EngineFile | None:
        """Return None: an engine says nothing of classes, so it is of no use without its sidecar."""
        return None

    def describe(self, file: EngineFile, machine: Machine) -> dict[str, Any]:
        """Return its layers, of which its sidecar holds all that the engine itself does."""
        return describe_layers(file.layers)

    def network(self, file: EngineFile) -> None:
        """Return None: an engine holds no ONNX."""

    def layer_times(self, engine: Engine, batch: int | None, iterations: int) -> tuple[int, list[LayerTime]]:
        """Measure every step; see :func:`yolotrt.backends.fused.profiler.layer_times`."""
        from yolotrt.backends.fused.profiler import layer_times

        chosen = batch or max(engine.file.batches)
        return chosen, layer_times(cast("FusedEngine", engine), chosen, iterations)

    def roofline(
        self, file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
    ) -> dict[str, Any]:
        """Return every layer's work and floor; see :mod:`yolotrt.backends.fused.roofline`."""
        from yolotrt.backends.fused.floors import describe_roofline

        return describe_roofline(file, gpu, batch, machine)


def _device() -> Device | None:
    """Return the first GPU, or None where there is none."""
    try:
        return HERE.gpu()
    except (DeviceError, MissingDependency):
        return None


def _require_gpu_for(targets: tuple[str, ...]) -> None:
    """Refuse to time kernels where none of an engine's can run.

    Raises:
        EnvironmentFault: There is no GPU here, or only one that the engine is not for.
    """
    device = _device()
    if device is None:
        raise EnvironmentFault(
            "There is no GPU here to time kernels on.",
            hint="Build with --retune on the machine that has it. Elsewhere kernels are chosen by rule.",
        )
    if device.info.arch not in targets:
        raise EnvironmentFault(
            f"The engine is for {', '.join(targets)}, and the GPU here ({device.info.name}) is "
            f"{device.info.arch}: its times say nothing.",
            hint=f"Add it: --targets {','.join((*targets, device.info.arch))}",
        )


def _targets(config: BuildConfig) -> tuple[str, ...]:
    """Return the GPUs that a build is for, as ``sm_90``; the one here unless others are named.

    Raises:
        UsageError: A target is unknown, or none is named and there is no GPU here.
    """
    known = f"It builds for: {', '.join(TARGETS)}."
    wanted = tuple(dict.fromkeys(_normalised(text, known) for text in config.compute_capabilities))
    if not wanted:
        device = _device()
        if device is None:
            raise UsageError(
                "There is no GPU here, so the GPUs to build for have to be named.",
                hint="Like this: --targets sm_86,sm_89,sm_120 (an RTX 5060 Ti is sm_120)",
            )
        wanted = (device.info.arch,)
    for target in wanted:
        if target not in TARGETS:
            raise UsageError(f"The fused backend cannot build for {target}.", hint=known)
    return wanted


def _normalised(text: str, known: str) -> str:
    """Read ``sm_120``, ``SM120``, ``120`` or ``12.0``."""
    match = re.fullmatch(r"(?:sm_?)?(\d+)\.?(\d)", text.strip(), re.I | re.ASCII)
    if match is None:
        raise UsageError(f"--targets {text!r} is no compute capability.", hint=known)
    return f"sm_{match[1]}{match[2]}"
