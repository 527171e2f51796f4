"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

import yolotrt
from tests.tiny_yolo import write_tiny_yolo

ROOT = Path(yolotrt.__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def _blocks(title: str) -> list[str]:
    """Return the code of a recipe: a file, and a line for another one."""
    section = TEXT.split(f"### {title}")[1].split("\n### ")[0]
    found = re.findall(r"^( *)```(?:python)?\n(.*?)^\1```", section, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def _insert(path: Path, before: str, line: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, line + before))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package in which all recipes were followed."""
    folder = tmp_path_factory.mktemp("house")
    package = folder / "yolotrt"
    shutil.copytree(ROOT / "yolotrt", package, ignore=shutil.ignore_patterns("__pycache__"))

    function, line = _blocks("A merge method")
    (package / "pipeline/agnostic.py").write_text(function)
    methods = package / "pipeline/merge_methods.py"
    _insert(methods, '    "nmm": Method(', f"    {line}")
    methods.write_text(methods.read_text().replace('Literal["seams"', 'Literal["agnostic", "seams"'))

    (line,) = _blocks("A backend")
    (package / "backends/toy").mkdir()
    (package / "backends/toy/__init__.py").write_text('"""A toy."""\n')
    shutil.copy(ROOT / "tests/contract/toy_backend.py", package / "backends/toy/backend.py")
    _insert(package / "backends/names.py", '}\n"""What makes', f"    {line}")

    figure, line = _blocks("A result column")
    summary = textwrap.indent(figure, "    ") + "\n"
    _insert(package / "bench/statistics.py", "\ndef summarize(", summary)
    _insert(package / "report/result_columns.py", '    Column("outliers"', f"    {line}")

    reader, line = _blocks("A format of annotations")
    (package / "data/formats/boxes_csv.py").write_text(reader)
    _insert(package / "data/formats/names.py", '    "yolotrt.data.formats.coco:', f"    {line}")

    verb, line, reply = _blocks("A verb")
    (package / "cli/count.py").write_text(verb)
    _insert(package / "cli/app.py", '    ("demo", ', f"    {line}")
    replies = package / "workflow/replies.py"
    _insert(replies, "REPLIES: tuple", reply)
    _insert(replies, "CALIBRATED, EXPORTED, ", "COUNTED, ")

    write_tiny_yolo(folder / "tiny.onnx")
    (folder / "pictures").mkdir()
    for k in range(2):
        picture = np.random.default_rng(k).integers(0, 256, (96, 128, 3), np.uint8)
        cv2.imwrite(str(folder / f"pictures/{k}.png"), picture)
    (folder / "boxes.csv").write_text("0.png,128,96,cat,10,10,60,60\n1.png,128,96,dog,5,5,40,80\n")
    return folder


def test_a_new_column_is_on_the_terminal_the_page_in_markdown_and_csv(house: Path) -> None:
    options = ("--source", "pictures/0.png", "--groups", "1", "--mode", "global", "-n", "130")
    files = ("--csv", "a.csv", "--markdown", "a.md", "--html", "a.html")
    shown = {"terminal": _run(house, "bench", "tiny.onnx", "--trust", *options, *files)}
    shown |= {name: (house / name).read_text() for name in files[1::2]}
    for medium, text in shown.items():
        assert re.search(r"\btail\b", text), medium
        assert medium == "a.csv" or re.search(r"\d\.\d\dx", text), medium


def _run(house: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "yolotrt", *arguments],
        cwd=house,
        env={"PATH": "", "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_verb_is_listed_and_runs(house: Path) -> None:
    assert "How many images are in a folder." in _run(house, "--help")
    assert _run(house, "count", "pictures", "--json", "counted.json") == "pictures: 2 images\n"
    assert "what yolotrt count --json wrote" in " ".join(_run(house, "inspect", "counted.json").split())


def test_a_new_backend_merge_method_and_format_work_together(house: Path) -> None:
    built = _run(house, "build", "tiny.onnx", "--fp32", "--backend", "toy", "-o", "tiny.toy", "--json", "-")
    assert '"toy"' in built
    said = _run(house, "eval", "--help")
    assert "agnostic (drops overlaps across classes)" in " ".join(said.split())
    assert "a CSV of boxes" in " ".join(said.split())
    options = ("--mode", "tiled", "--merge", "agnostic", "--images", "pictures", "--annotations", "boxes.csv")
    assert '"images": 2' in _run(house, "eval", "tiny.toy", *options, "--json", "-")


def test_the_hooks_before_a_commit_do_what_make_check_does() -> None:
    entries = re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    recipe = (ROOT / "Makefile").read_text().split("\ncheck: ")[1].split("\n\n")[0].splitlines()[1:]
    steps = [re.sub(r" --check| \.$", "", line.strip().replace("$(BIN)", ".venv/bin")) for line in recipe]
    assert [entry.removeprefix("env ") for entry in entries] == steps
