"""Documents: what they link to and name is there, and their commands are the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import yolotrt
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli

ROOT = Path(yolotrt.__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MADE_UP = re.compile("NAME|agnostic")
"""What stands for a reader's own module."""


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            assert anchor in map(_anchor, re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)), target


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_modules_that_are_named_are_there(name: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
    named = sorted(set(re.findall(r"`([\w./-]+(?:\.py|\.md|\.toml|/))`", text)))
    assert len(named) > 10
    rooms = [
        *(ROOT / "yolotrt").iterdir(),
        *(ROOT / folder for folder in ("", "yolotrt", "tests", "tests/contract")),
    ]
    for each in named:
        assert MADE_UP.search(each) or any((room / each).exists() for room in rooms), each


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.name != "README.md"], ids=lambda path: path.name)
def test_commands_are_those_of_the_makefile_and_the_program(path: Path, cli: Cli) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    verbs = set(re.findall(r"`yolotrt ([a-z]+)[^`]*`", text)) - {"count"}  # the verb of a recipe
    offered = cli("--help").out
    for verb in verbs:
        assert re.search(rf"^  {verb} ", offered, re.MULTILINE), verb
