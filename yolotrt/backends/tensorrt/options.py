"""What the user asked for, checked and handed to TensorRT's builder configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yolotrt.backends.base import BuildConfig
from yolotrt.backends.profiles import Profile
from yolotrt.backends.tensorrt.library import Library
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import UsageError

if TYPE_CHECKING:
    import tensorrt as trt

FP8_SINCE = (8, 9)
"""First compute capability with FP8 arithmetic: Ada."""

TURING = (7, 5)
AMPERE = (8, 0)


def targets(library: Library, config: BuildConfig, gpu: FoundGpu | None) -> tuple[str, ...]:
    """Return the GPUs that a build is for, as ``SM120``; empty means TensorRT-RTX's portable engine.

    Raises:
        UsageError: A target is unknown, or the library builds for the GPU at hand only.
    """
    wanted = tuple(dict.fromkeys(_normalised(text) for text in config.compute_capabilities))
    if not library.builds_ahead:
        if wanted:
            raise UsageError(
                f"{library.product.title} builds for the GPU it runs on and takes no --compute-capability.",
                hint="Use --hardware-compatible, or --backend tensorrt-rtx.",
            )
        return (gpu.sm,) if gpu else ()
    known = known_targets(library)
    for target in wanted:
        if target not in known:
            raise UsageError(
                f"{library.title} cannot build for {target}.", hint=f"It builds for: {', '.join(known)}."
            )
    if not wanted and gpu is not None and gpu.sm in known:
        return (gpu.sm,)
    return wanted


def known_targets(library: Library) -> tuple[str, ...]:
    """Return the GPUs that the library can build for ahead of time."""
    members = library.trt.ComputeCapability.__members__ if library.builds_ahead else ()
    return tuple(name for name in members if name.startswith("SM"))


def check(library: Library, config: BuildConfig, gpu: FoundGpu | None) -> None:
    """Refuse what cannot work before minutes are spent on it.

    Raises:
        UsageError: An option or precision that this library or GPU does not offer.
    """
    title = library.product.title
    if library.builds_ahead and config.version_compatible:
        raise UsageError(
            f"{title} engines run only on the version that built them; --version-compatible is not offered.",
            hint="Build again after an update, or use --backend tensorrt.",
        )
    if library.builds_ahead and config.hardware_compatible:
        raise UsageError(
            f"{title} has no --hardware-compatible.",
            hint="Name the GPUs instead: --compute-capability SM86,SM89,SM120",
        )
    if config.implicit and not library.can_calibrate:
        raise UsageError(
            f"{library.title} has no implicit INT8: NVIDIA removed the calibrator.",
            hint="Leave out --implicit: yolotrt then writes the ranges into the network as Q/DQ nodes.",
        )
    fixed = config.spec.batch
    if fixed is not None and set(config.profiles) != {Profile.fixed(fixed)}:
        raise UsageError(
            f"{config.spec.name} takes batches of exactly {fixed}; its engine can have no other profile.",
            hint=f"--batch {fixed}; yolotrt export writes ONNX files that take any batch size.",
        )
    capabilities = [_capability(t) for t in targets(library, config, gpu)]
    if config.precision == "fp8" and any(c < FP8_SINCE for c in capabilities):
        raise UsageError(
            f"FP8 needs compute capability 8.9 or newer, not {_dotted(min(capabilities))}.",
            hint="Use --int8 or --fp16.",
        )
    if config.precision == "int8" and library.builds_ahead and TURING in capabilities:
        # TensorRT-RTX 1.7.1's own layer report has no INT8 convolution for any target once Turing is one.
        others = [_dotted(c) for c in capabilities if c != TURING]
        raise UsageError(
            f"{title} computes nothing in INT8 as soon as Turing (SM75) is among the targets"
            f"{', not for ' + ', '.join(others) + ' either' if others else ''}: the engine would have the "
            "loss of INT8 without its speed.",
            hint="Leave SM75 out and build a second engine for Turing with --fp16.",
        )
    if config.precision == "fp32" and library.builds_ahead and TURING in capabilities:
        raise UsageError(f"{title} has no FP32 matrix products for Turing (SM75).", hint="Use --fp16.")


def apply(
    library: Library,
    config: BuildConfig,
    gpu: FoundGpu | None,
    builder: trt.Builder,
    native: trt.IBuilderConfig,
) -> None:
    """Set profiles, limits, flags and targets on TensorRT's builder configuration."""
    api = library.trt
    # Without this the engine inspector and the layer report say nothing about types.
    native.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    width, height = config.spec.input_wh
    for wanted in config.profiles:
        profile = builder.create_optimization_profile()
        smallest, best, largest = (
            (n, 3, height, width) for n in (wanted.smallest, wanted.best, wanted.largest)
        )
        profile.set_shape(config.spec.input_name, smallest, best, largest)
        native.add_optimization_profile(profile)
    if config.workspace_mib is not None:
        native.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, config.workspace_mib << 20)
    if config.optimization_level is not None:
        native.builder_optimization_level = config.optimization_level
    if config.version_compatible:
        native.set_flag(api.BuilderFlag.VERSION_COMPATIBLE)
    if config.hardware_compatible:
        native.hardware_compatibility_level = api.HardwareCompatibilityLevel.AMPERE_PLUS
    if hasattr(api.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        # TensorRT-RTX: no allocation while it runs, so that it can be captured in a CUDA graph.
        native.set_flag(api.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if library.builds_ahead:
        names = targets(library, config, gpu)
        native.num_compute_capabilities = len(names)
        for i, name in enumerate(names):
            native.set_compute_capability(api.ComputeCapability.__members__[name], i)


def _normalised(text: str) -> str:
    """Read ``SM120``, ``sm_120``, ``120`` or ``12.0``."""
    match = re.fullmatch(r"(?:sm_?)?(\d+)\.?(\d)", text.strip(), re.I | re.ASCII)
    if match is None:
        raise UsageError(
            f"--compute-capability {text!r} is not a compute capability.",
            hint="Like this: SM89,SM120 (an RTX 5060 Ti is SM120).",
        )
    return "SM" + match[1] + match[2]


def _capability(target: str) -> tuple[int, int]:
    digits = target.removeprefix("SM")
    return int(digits[:-1]), int(digits[-1])


def _dotted(capability: tuple[int, int]) -> str:
    return "{}.{}".format(*capability)
