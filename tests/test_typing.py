"""What a type checker of an application sees: the types of what is exported, and of nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_type_hints

import pytest

import yolotrt
from yolotrt.pipeline.settings import PipelineKeywords, PipelineSettings

ROOT = Path(yolotrt.__file__).parents[1]

PROGRAM = """\
import numpy as np
from yolotrt import TiledPipeline

with TiledPipeline.open("street.engine") as pipeline:
    result = pipeline(np.zeros((64, 64, 3), np.uint8))
    reveal_type(TiledPipeline)
    reveal_type(pipeline)
    reveal_type(result)
    reveal_type(result.detections.scores)
    reveal_type([mask.area for mask in result.detections.masks or ()])
    reveal_type(result.seconds)
    reveal_type(list(pipeline.frames([])))
"""

MISTAKES = """\
from yolotrt import TiledPipeline

TiledPipeline.open("e.onnx", mode="tiled", dispatch="graph", groups=4, device="cuda:0")
TiledPipeline.open("e.onnx", mode="nonsense")
TiledPipeline.open("e.onnx", dispatch="magic")
TiledPipeline.open("e.onnx", groups="four")
TiledPipeline.open("e.onnx", group=4)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What strict mypy says about each of five programs, read in one go."""
    folder = tmp_path_factory.mktemp("application")
    readme = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exports = "\n".join(f"reveal_type(yolotrt.{name})" for name in sorted(yolotrt.__all__))
    programs = {
        "types.py": PROGRAM,
        "example.py": textwrap.dedent((yolotrt.__doc__ or "").split("::\n", 1)[1]),
        "readme.py": "\n".join(readme),
        "mistakes.py": MISTAKES,
        "exports.py": f"import yolotrt\n{exports}\nyolotrt.TiledPipelin\n",
    }
    for name, text in programs.items():
        (folder / f"its_{name}").write_text(text)
    kept = ("--cache-dir", str(ROOT / ".mypy_cache" / "applications"))  # most of it is NumPy
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", *kept, "."],
        cwd=folder,
        env={"MYPYPATH": "", "PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.replace("builtins.", "").splitlines()
    assert not done.stderr, done.stderr
    return {name: [line for line in lines if line.startswith(f"its_{name}")] for name in programs}


def test_a_program_of_an_application_sees_types(said: dict[str, list[str]]) -> None:
    types = [match[1] for line in said["types.py"] if (match := re.search(r'Revealed type is "(.*)"', line))]
    assert len(types) == len(said["types.py"]) == 7
    for each in types:
        assert "Any" not in each.replace("tuple[Any, ...]", ""), each  # that is NumPy's word for any shape
    assert types[1] == "yolotrt.pipeline.tiled.TiledPipeline"
    assert types[4:6] == ["list[int]", "float"]


def test_the_examples_pass_a_strict_type_checker(said: dict[str, list[str]]) -> None:
    assert said["example.py"] + said["readme.py"] == []


def test_settings_that_do_not_exist_are_refused_by_the_type_checker(said: dict[str, list[str]]) -> None:
    lines = [int(line.split(":")[1]) for line in said["mistakes.py"] if ": error:" in line]
    assert lines == [4, 5, 6, 7], said["mistakes.py"]


def test_keywords_are_the_fields_of_the_settings() -> None:
    fields = get_type_hints(PipelineSettings)
    assert get_type_hints(PipelineKeywords) == fields


def test_exported_names_have_types_and_others_are_unknown(
    said: dict[str, list[str]],
) -> None:
    *revealed, mistake = said["exports.py"]
    assert len(revealed) == len(yolotrt.__all__)
    assert not [line for line in revealed if re.search(r"is \"Any|: error:", line)]
    assert "has no attribute" in mistake


def test_every_exported_name_is_there() -> None:
    assert set(yolotrt.__all__) <= set(dir(yolotrt))
    for name in yolotrt.__all__:
        assert getattr(yolotrt, name) is not None
    with pytest.raises(AttributeError, match="TiledPipelin"):
        yolotrt.TiledPipelin  # noqa: B018
