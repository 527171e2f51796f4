"""The house keeps its shape: rooms import only from rooms above, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import yolotrt

ROOT = Path(yolotrt.__file__).parent
ROOMS = [
    "errors", "progress", "artifacts", "geometry", "timing", "data", "model", "calibration", "cuda",
    "backends", "pipeline", "evaluation", "bench", "workflow", "report", "cli",
]  # fmt: skip
MODULES = sorted(p for p in ROOT.rglob("*.py"))


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_rooms_above(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert room in ROOMS, f"{room} is not on the plan"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "yolotrt" and len(parts) > 1 and parts[1] not in ("__version__", room):
            assert ROOMS.index(parts[1]) < ROOMS.index(room), f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_and_ultralytics_only_in_the_exporter(path: Path) -> None:
    heavy = {name.split(".")[0] for name in _imports(path)} & {"torch", "ultralytics", "onnxslim"}
    assert not heavy or path == ROOT / "model" / "export.py"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_click_beside_typer(path: Path) -> None:
    assert not any(name.split(".")[0] == "click" for name in _imports(path))


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['yolotrt', '--help']\n"
        "from yolotrt.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "bad = {'numpy', 'onnx', 'onnxruntime', 'cv2', 'av', 'rich', 'httpx', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Start with" in done.stdout
