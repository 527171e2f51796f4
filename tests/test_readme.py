"""README and docs say what was measured: every table of figures is made from a result that is kept."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.__main__ import FIGURES, PAGES, RESULTS
from benchmarks.readme_tables import RENDERERS, block, marked, replaced
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from yolotrt.cli.app import VERBS
from yolotrt.report.figures import milliseconds

TEXT = "\n".join(page.read_text() for page in PAGES)
README = PAGES[0].read_text()
BLOCKS = marked(TEXT)


def test_every_block_is_known_and_there_once() -> None:
    names = re.findall(r"<!-- figures: (\S+) -->", TEXT)
    assert sorted(names) == sorted(BLOCKS) == sorted(RENDERERS)


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_a_block_is_what_its_result_says(name: str) -> None:
    assert BLOCKS[name] == block(name, RESULTS), "write it again with: python -m benchmarks --readme"


def test_no_table_of_figures_stands_outside_of_a_block() -> None:
    outside = replaced(TEXT, dict.fromkeys(BLOCKS, ""))
    rows = [line for line in outside.splitlines() if re.match(r"\|.*\| *[-+]?\d+\.\d", line)]
    assert rows == []


def test_the_price_of_tiling_stands_beside_its_gain() -> None:
    found = json.loads((RESULTS / "tiling.json").read_text())
    for mode, row in zip(found["modes"], BLOCKS["tiling"].splitlines()[2:], strict=True):
        seconds = mode["engines"][0]["median_seconds"]
        assert f"| {milliseconds(seconds)} |" in row


def test_the_demo_model_is_quoted_in_both_precisions_with_the_interval_of_its_loss() -> None:
    found = json.loads((RESULTS / "demo-model.json").read_text())
    assert [engine["precision"] for engine in found["engines"]] == ["fp32", "int8"]
    box = found["engines"][1]["comparison"]["box"]
    assert f"{-box['relative'] * 100:.2f} %" in BLOCKS["demo-model"]
    assert f"{-box['high'] * 100:.2f} to {-box['low'] * 100:.2f} points of box" in BLOCKS["demo-model"]


def test_what_needs_a_gpu_is_named_with_its_card() -> None:
    """Its file comes from elsewhere, so it must say where."""
    made_here = {Path(f"{name}.json") for name in FIGURES}
    sources = {source for sources, _ in RENDERERS.values() for source in sources.split()}
    by_their_own_command = {
        "int8-bound",
        "bound-command",
        "batch-kills",
        "batch-overhead",
        "service-load",
    }  # on a CPU
    for source in sources - {path.stem for path in made_here} - by_their_own_command:
        text = (RESULTS / f"{source}.json").read_text()
        assert re.search(r'"name": ?"NVIDIA [^"]+"', text)
        assert f"benchmarks/results/{source}.json" in TEXT


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 160


def _command_lines() -> list[list[str]]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    shell = [block.replace("\\\n", "") for language, block in blocks if language in ("", "yaml")]
    lines = [line for block in shell for line in block.splitlines()]
    found = [
        re.search(r"\byolotrt ([a-z]+ .*|[a-z]+)$", line.split("  #")[0].split(" #")[0]) for line in lines
    ]
    return [shlex.split(match[1]) for match in found if match]


def test_every_command_in_the_readme_has_the_options_that_it_is_given(cli: Cli) -> None:
    lines = _command_lines()
    assert len(lines) > 20
    names = {name for name, *_ in VERBS}
    for verb, *arguments in lines:
        assert verb in names
        options = re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", cli(verb, "--help").out)
        given = {argument for argument in arguments if argument.startswith("-") and argument != "-"}
        assert given <= set(options), f"yolotrt {verb} has no {', '.join(given - set(options))}"


def test_changed_figures_change_their_block_and_nothing_else() -> None:
    text = "a\n<!-- figures: x -->\nold\n<!-- end of figures -->\nb <!-- figures: y -->\n"
    assert replaced(text, {"x": "new\n"}) == text.replace("old", "new")
    assert replaced(text, {}) == text
