"""What the commands that tests start need, imported once: see ``benchmarks.forked``."""

from __future__ import annotations

import contextlib
import gc
import importlib
import pkgutil

import tests.faults.within  # noqa: F401
import yolotrt

for name in (
    "av",
    "cv2",
    "httpx",
    "onnx",
    "onnxruntime",
    "rich.progress",
    "zoneinfo",
):
    importlib.import_module(name)
for module in pkgutil.walk_packages(yolotrt.__path__, "yolotrt."):
    if not module.name.endswith("__main__") and ".kernels" not in module.name:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
gc.freeze()
