"""What the commands that tests start need, imported once: see ``benchmarks.forked``.

The program's options are read once too. That takes longer than many a command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import pkgutil

from typer.main import get_command

import tests.faults.within  # noqa: F401
import yolotrt
from yolotrt.cli import app

for name in (
    "av",
    "cv2",
    "httpx",
    "onnx",
    "onnxruntime",
    "pydantic.type_adapter",
    "rich.progress",
    "zoneinfo",
):
    importlib.import_module(name)
for module in pkgutil.walk_packages(yolotrt.__path__, "yolotrt."):
    if not module.name.endswith("__main__") and ".kernels" not in module.name:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
app.app = get_command(app.app)  # type: ignore[assignment]
gc.freeze()
