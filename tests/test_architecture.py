"""The house as docs/architecture.md tells it; import-linter holds which room may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import yolotrt
from tools import architecture

ROOT = Path(yolotrt.__file__).parent
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
def test_whoever_prints_makes_names_safe(path: Path) -> None:
    """Names come from elsewhere: verbs print by the functions of one module, which make them safe."""
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    prints = any(getattr(call.func, "id", None) == "print" for call in calls)
    own = {"cli/console.py", "cli/app.py", "backends/tensorrt/log.py", "machine/memory.py"}
    assert not prints or str(path.relative_to(ROOT)) in own, "use tell, say or warn of yolotrt.cli.console"
    assert "rich.console" not in _imports(path) or path == ROOT / "cli" / "terminal.py", "use stdout()"
    assert "html" not in _imports(path) or path == ROOT / "text.py", "use yolotrt.text.html_text"


def test_the_picture_of_the_house_is_of_the_code_as_it_is() -> None:
    assert architecture.PICTURE.read_text() == architecture.drawn(), "draw it again with: make architecture"


def test_an_arrow_that_others_imply_is_left_out() -> None:
    edges = {"cli": {"bench", "data", "errors"}, "bench": {"data"}, "data": {"errors"}, "errors": set()}
    assert architecture.reduced(edges) == {
        "cli": {"bench"},
        "bench": {"data"},
        "data": {"errors"},
        "errors": set(),
    }
    rows = architecture.rows_of({"cli": {"bench", "data"}, "bench": {"text"}, "text": set(), "data": set()})
    assert rows == [["cli"], ["bench", ("cli", "data", 1)], ["text", "data"]]


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
