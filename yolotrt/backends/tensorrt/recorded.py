"""The options of a build as a sidecar records them, and as the command line calls them."""

from __future__ import annotations

from yolotrt.backends.base import EngineFile

PORTABLE = "portable"
"""Target of a TensorRT-RTX engine that was built for no GPU in particular: Ampere and newer."""

VERSION_COMPATIBLE = "version-compatible"
HARDWARE_COMPATIBLE = "hardware-compatible"
IMPLICIT = "implicit-int8"
WORKSPACE = "workspace"
LEVEL = "level"

_OPTIONS = {
    VERSION_COMPATIBLE: "--version-compatible",
    HARDWARE_COMPATIBLE: "--hardware-compatible",
    IMPLICIT: "--implicit",
    WORKSPACE: "--workspace",
    LEVEL: "--optimization-level",
}
"""What the command line calls the options that a sidecar records."""


def options_of(file: EngineFile) -> list[str]:
    """Return the options that an engine was built with, as ``version-compatible`` or ``workspace=512``."""
    found = file.environment.get("options", "").split()
    return [option for option in found if option.partition("=")[0] in _OPTIONS]


def build_options(file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
    """See :meth:`yolotrt.backends.base.Backend.build_options`."""
    known = file.environment
    words = ["--batch", batches or known.get("profiles") or ",".join(map(str, file.batches))]
    if known.get("targets", PORTABLE) != PORTABLE and not here:
        words += ["--compute-capability", known["targets"]]
    for option in options_of(file):
        name, _, value = option.partition("=")
        words += [_OPTIONS[name], value] if value else [_OPTIONS[name]]
    return words
