"""What an engine is tied to, and whether it fits here.

TensorRT engines run on the exact version and the GPU model that built them, unless they were built to
be more compatible. TensorRT says so too, but late and in its own words.
"""

from __future__ import annotations

from collections.abc import Mapping

from yolotrt.backends.base import BuildConfig, EngineFile
from yolotrt.backends.tensorrt.gpu import Gpu
from yolotrt.backends.tensorrt.library import Library
from yolotrt.backends.tensorrt.options import PORTABLE, targets
from yolotrt.errors import ArtifactError

VERSION_COMPATIBLE = "version-compatible"
HARDWARE_COMPATIBLE = "hardware-compatible"
NO_OPTIONS = "none"


def environment(library: Library, config: BuildConfig, gpu: Gpu | None) -> dict[str, str]:
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
        "implicit-int8": config.calibration_table is not None,
    }
    values = {"workspace": config.workspace_mib, "level": config.optimization_level}
    return [k for k, v in flags.items() if v] + [f"{k}={v}" for k, v in values.items() if v is not None]


def check_fits(library: Library, gpu: Gpu, file: EngineFile) -> None:
    """Refuse an engine that was built for another version or GPU.

    Engines that yolotrt did not build have no environment and are left to TensorRT's own checks.

    Raises:
        ArtifactError: It does not fit; the hint is the command that builds one that does.
    """
    recorded = file.environment
    for reason in (_version_misfit(library, recorded), _gpu_misfit(gpu, recorded)):
        if reason:
            raise ArtifactError(f"{file.path} {reason}.", hint=f"Build it here: {rebuild_command(file)}")


def rebuild_command(file: EngineFile, batches: str | None = None) -> str:
    """Return the command that builds an engine like ``file`` again, for other ``batches`` if given."""
    profiles = batches or file.environment.get("profiles") or ",".join(map(str, file.batches))
    options = f"--{file.precision} --backend {file.backend}" + (f" --batch {profiles}" if profiles else "")
    return f"yolotrt build {file.spec.name} {options} -o {file.path} --force"


def _version_misfit(library: Library, recorded: Mapping[str, str]) -> str | None:
    built = recorded.get("version")
    if built is None or built == library.version:
        return None
    compatible = VERSION_COMPATIBLE in recorded.get("options", "").split()
    if compatible and _parts(built) <= _parts(library.version):
        return None
    more = " (--version-compatible engines run on newer versions, not on older ones)" if compatible else ""
    return f"was built by {recorded.get('product')} {built}; this is {library.title}{more}"


def _gpu_misfit(gpu: Gpu, recorded: Mapping[str, str]) -> str | None:
    here = "{}.{}".format(*gpu.capability)
    if "targets" in recorded:
        known = recorded["targets"].split(",")
        fits = gpu.sm in known or (known == [PORTABLE] and gpu.capability >= (8, 0))
        names = "Ampere and newer GPUs" if known == [PORTABLE] else ", ".join(known)
        return None if fits else f"was built for {names}; this is a {gpu.name} ({gpu.sm})"
    if "gpu" not in recorded or recorded["gpu"] == gpu.name:
        return None
    if HARDWARE_COMPATIBLE in recorded.get("options", "").split() and gpu.capability >= (8, 0):
        return None
    there = recorded.get("compute_capability", "?")
    return (
        f"was built on a {recorded['gpu']} (compute capability {there}); this is a {gpu.name} "
        f"(compute capability {here})"
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(p) if p.isdigit() else 0 for p in version.split("."))
