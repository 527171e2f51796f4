"""The house as docs/architecture.md tells it; import-linter holds which room may import which."""

from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import yolotrt
from tests.conftest import four_pictures
from tests.workflow.test_evaluate import tiny_engine
from tools import architecture
from yolotrt.backends.names import NAMES

ROOT = Path(yolotrt.__file__).parent
MODULES = sorted(p for p in ROOT.rglob("*.py"))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _imports(path: Path) -> list[str]:
    return _imported(_tree(path))


def _imported(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def test_whoever_prints_makes_names_safe() -> None:
    """Names come from elsewhere: verbs print by the functions of one module, which make them safe."""
    own = {"cli/console.py", "cli/app.py", "backends/tensorrt/log.py", "machine/memory.py"}
    wrong: list[str] = []
    for path in MODULES:
        tree, name = _tree(path), str(path.relative_to(ROOT))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        if any(getattr(call.func, "id", None) == "print" for call in calls) and name not in own:
            wrong.append(f"{name} prints: use tell, say or warn of yolotrt.cli.console")
        imported = _imported(tree)
        if "rich.console" in imported and name != "cli/terminal.py":
            wrong.append(f"{name} makes a console: use stdout()")
        if "html" in imported and name != "text.py":
            wrong.append(f"{name} escapes: use yolotrt.text.html_text")
    assert wrong == []


def _contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of a copy of the package in a folder, by the contracts of the project."""
    shutil.copytree(ROOT, folder / "yolotrt", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    shutil.copy(ROOT.parent / "pyproject.toml", folder)
    for place, text in ARROWS.items():
        (folder / place).write_text(text)
    program = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    environment = {"PATH": "", "PYTHONPATH": str(folder)}
    options = ("--no-cache", "--contract", "rooms", "--contract", "backends")
    return subprocess.run([*program, *options], cwd=folder, env=environment, capture_output=True, text=True)


ARROWS = {
    "yolotrt/data/planted.py": "from yolotrt import TiledPipeline\n",
    "yolotrt/geometry/planted.py": "def late():\n    from yolotrt.bench import sweep\n",
    "yolotrt/bench/planted.py": "from yolotrt.backends.fused import parts\n",
}
"""Modules that import what they must not."""


def test_an_arrow_that_points_upwards_or_into_a_backend_is_refused(tmp_path: Path) -> None:
    done = _contracts(tmp_path)
    said = " ".join(done.stdout.split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 broken" in said
    for place in ARROWS:
        assert f"{place[:-3].replace('/', '.')} -> yolotrt" in said, place


def test_every_backends_package_is_protected() -> None:
    settings = (ROOT.parent / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^protected_modules = \[(.*?)\]", settings, re.MULTILINE | re.DOTALL)
    packages = {path.parent.name for path in (ROOT / "backends").glob("*/__init__.py")}
    assert set(re.findall(r'"yolotrt\.backends\.(\w+)"', listed)) == packages


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


SOURCES = [*MODULES, *sorted(ROOT.rglob("*.cu")), *sorted(ROOT.rglob("*.cuh"))]
MOST_LINES = 300
APART = {"T = TypeVar('T')", "VERSION = 1", "VERSION = 2", "RECIPE = 5"}
"""Constants that mean something else in each module: documents count their versions for themselves."""


def test_a_module_is_read_in_one_sitting() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: many for name, many in lines.items() if many > MOST_LINES} == {}, "split it by meaning"


ALONGSIDE = sorted(p for room in ("benchmarks", "tools") for p in (ROOT.parent / room).rglob("*.py"))


def test_no_two_classes_share_a_name_and_no_constant_is_defined_twice() -> None:
    """Beside the package, too; constants there are paths and sizes of each program."""
    places: dict[str, list[str]] = {}
    for path in (*MODULES, *ALONGSIDE):
        tree = _tree(path)
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        if path in MODULES:
            names |= {ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)}
        for name in names - APART:
            places.setdefault(name, []).append(str(path.relative_to(ROOT.parent)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_two_types_are_called_alike() -> None:
    """Aliases and type variables are told by their capitals: ``Name = ...``."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in _tree(path).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                if re.match("[A-Z]\\w*[a-z]", name) and ast.unparse(node) not in APART:
                    places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 50
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_backends_name_is_known_to_the_registry_and_itself_alone() -> None:
    told = re.compile("|".join(f'"{name}"' for name in NAMES))
    own = [ROOT / "backends" / "names.py", *(ROOT / "backends").glob("*/*.py")]
    assert [str(path) for path in MODULES if path not in own and told.search(path.read_text())] == []


def _run_without(modules: set[str], code: str) -> str:
    """Return what Python prints of some code, which must end well and import none of these."""
    ends = (
        f"import sys\n{code}\nsys.exit(f'imported {{bad}}' if (bad := {modules!r} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", ends], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['yolotrt', '--help']\n"
        "from yolotrt.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
    )
    heavy = {"numpy", "onnx", "onnxruntime", "cv2", "av", "rich", "httpx", "torch"}
    assert "Start with" in _run_without(heavy, code)


def test_an_engine_is_found_and_loaded_without_what_only_pictures_need() -> None:
    """Its session is made while the rest is imported: the sooner it begins, the less one picture takes."""
    code = (
        "import sys, yolotrt.cli.predict, yolotrt.workflow.catalog, yolotrt.backends.loading\n"
        "import yolotrt.backends.onnxruntime.backend\n"
    )
    _run_without({"cv2", "av", "rich", "httpx", "onnx", "yolotrt.cuda.device"}, code)


def test_one_picture_needs_nothing_of_what_moves_or_is_measured(tmp_path: Path) -> None:
    engine = str(tiny_engine(tmp_path).path)
    picture = str(four_pictures(tmp_path / "pictures") / "0.png")
    code = (
        f"import sys; sys.argv = ['yolotrt', 'predict', {engine!r}, {picture!r}]\n"
        "from yolotrt.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as left: assert left.code == 0\n"
    )
    films = {
        "av",
        "fractions",
        "yolotrt.data.video_file",
        "yolotrt.pipeline.adaptive",
        "yolotrt.data.regions",
    }
    others = {
        "rich",
        "httpx",
        "onnx",
        "logging",
        "concurrent.futures",
        "yolotrt.bench",
        "yolotrt.cuda.device",
    }
    assert "0.png: " in _run_without(films | others, code)


OTHERS = sorted(p for room in ("benchmarks", "tools", "tests") for p in (ROOT.parent / room).rglob("*.py"))


def test_what_code_around_the_package_imports_from_it_is_there() -> None:
    """Benchmarks run on GPUs alone, and import some of it only when called."""
    missing = [
        f"{path.relative_to(ROOT.parent)}: {node.module} has no {alias.name}"
        for path in OTHERS
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("yolotrt")
        for alias in node.names
        if not _is_there(node.module or "", alias.name)
    ]
    assert missing == []


@functools.cache
def _is_there(module: str, name: str) -> bool:
    return hasattr(import_module(module), name) or find_spec(f"{module}.{name}") is not None
