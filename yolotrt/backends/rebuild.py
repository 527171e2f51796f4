"""The command that builds an engine again, as its sidecar remembers it."""

from __future__ import annotations

from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.registry import backend as by_name
from yolotrt.text import shell_words


def rebuild_command(
    file: EngineFile, *, batches: str | None = None, backend: str | None = None, here: bool = False
) -> str:
    """Return the command that builds an engine like ``file`` again, to be typed where it was built.

    Args:
        file: The engine.
        batches: Batch sizes instead of its own.
        backend: Backend instead of its own.
        here: Build for the GPU at hand and not for those it was built for.
    """
    made_here = "onnx_file" in file.sources
    words = ["yolotrt", "build", file.sources.get("onnx_file", "MODEL"), f"--{file.precision}"]
    words += ["--backend", backend or file.backend]
    if file.backend in NAMES:  # a sidecar may name what this version does not have
        words += by_name(file.backend).build_options(file, batches=batches, here=here)
    if "bound_max_drop" in file.sources:
        words += ["--max-drop", file.sources["bound_max_drop"]]
        words += ["--mode", file.sources.get("bound_mode", "global")]
        if least := file.sources.get("bound_least_int8"):
            words += ["--least-int8", least]
        if small := file.sources.get("bound_max_drop_small"):
            words += ["--max-drop-small", small]
        if file.sources.get("bound_criterion", "").startswith(
            "mAP"
        ):  # by annotations, whose place it does not keep
            words += ["--annotations", "FILE"]
    if made_here:  # never over an engine of somebody else's
        words += ["-o", str(file.path), "--force"]
    return shell_words(*words)
