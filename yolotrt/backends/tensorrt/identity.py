"""What an engine is tied to, and whether it fits here.

TensorRT engines run on the exact version and the GPU model that built them, unless they were built to
be more compatible. TensorRT says so too, but late and in its own words.
"""

from __future__ import annotations

from yolotrt.backends.base import BuildConfig, EngineFile
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.tensorrt.library import Library
from yolotrt.backends.tensorrt.options import AMPERE, FP8_SINCE, known_targets, targets
from yolotrt.backends.tensorrt.recorded import (
    HARDWARE_COMPATIBLE,
    IMPLICIT,
    LEVEL,
    PORTABLE,
    VERSION_COMPATIBLE,
    WORKSPACE,
    options_of,
)
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import ArtifactError

NO_OPTIONS = "none"


def environment(library: Library, config: BuildConfig, gpu: FoundGpu | None) -> dict[str, str]:
    """Return what an engine built here is tied to, as its sidecar records it.

    Keys: ``product``, ``version``, ``gpu`` and ``compute_capability`` (or ``targets`` where the library
    builds ahead of time), ``driver``, ``profiles``, ``options``.
    """
    found = {"product": library.product.title, "version": library.version}
    if library.builds_ahead:
        found["targets"] = ",".join(targets(library, config, gpu)) or PORTABLE
    elif gpu is not None:
        found["gpu"] = gpu.name
        found["compute_capability"] = "{}.{}".format(*gpu.capability)
    if gpu is not None:
        found["driver"] = f"CUDA {gpu.driver}"
    found["profiles"] = ",".join(map(str, config.profiles))
    found["options"] = " ".join(_options(config)) or NO_OPTIONS
    return found


def _options(config: BuildConfig) -> list[str]:
    flags = {
        VERSION_COMPATIBLE: config.version_compatible,
        HARDWARE_COMPATIBLE: config.hardware_compatible,
        IMPLICIT: config.implicit,
    }
    values = {WORKSPACE: config.workspace_mib, LEVEL: config.optimization_level}
    return [k for k, v in flags.items() if v] + [f"{k}={v}" for k, v in values.items() if v is not None]


def check_fits(library: Library, gpu: FoundGpu, file: EngineFile) -> None:
    """Refuse an engine that was built for another version or GPU.

    Engines that yolotrt did not build have no environment and are left to TensorRT's own checks.

    Raises:
        ArtifactError: It does not fit; the hint is the command that builds one that does.
    """
    elsewhere = _gpu_misfit(gpu, file)
    if elsewhere and library.builds_ahead and gpu.sm not in known_targets(library):
        other = rebuild_command(file, backend="tensorrt", here=True)
        raise ArtifactError(
            f"{file.path} {elsewhere}, for which {library.title} builds none.", hint=f"Build it here: {other}"
        )
    if reason := elsewhere or _version_misfit(library, file):
        command = rebuild_command(file, here=elsewhere is not None)
        raise ArtifactError(f"{file.path} {reason}.", hint=f"Build it here: {command}")


def _version_misfit(library: Library, file: EngineFile) -> str | None:
    recorded = file.environment
    built = recorded.get("version")
    if built is None or built == library.version:
        return None
    compatible = VERSION_COMPATIBLE in options_of(file)
    if compatible and _parts(built) <= _parts(library.version):
        return None
    more = " (--version-compatible engines run on newer versions, not on older ones)" if compatible else ""
    return f"was built by {recorded.get('product')} {built}; this is {library.title}{more}"


def _gpu_misfit(gpu: FoundGpu, file: EngineFile) -> str | None:
    recorded = file.environment
    here = "{}.{}".format(*gpu.capability)
    if "targets" in recorded:
        known = recorded["targets"].split(",")
        since, name = (FP8_SINCE, "Ada") if file.precision == "fp8" else (AMPERE, "Ampere")
        fits = gpu.sm in known or (known == [PORTABLE] and gpu.capability >= since)
        names = f"{name} and newer GPUs" if known == [PORTABLE] else ", ".join(known)
        return None if fits else f"was built for {names}; this is a {gpu.name} ({gpu.sm})"
    if "gpu" not in recorded or recorded["gpu"] == gpu.name:
        return None
    if HARDWARE_COMPATIBLE in options_of(file) and gpu.capability >= AMPERE:
        return None
    there = recorded.get("compute_capability", "?")
    return (
        f"was built on a {recorded['gpu']} (compute capability {there}); this is a {gpu.name} "
        f"(compute capability {here})"
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(p) if p.isdigit() else 0 for p in version.split("."))
