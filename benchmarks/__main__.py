"""Regenerate the figures that README and docs quote, and the blocks that show them.

    python -m benchmarks                    everything that can run here; the rest is named with what it lacks
    python -m benchmarks accuracy tiling    only these
    python -m benchmarks --list             what there is, and what it needs
    python -m benchmarks --readme           write the blocks from what was measured
    python -m benchmarks whole-objects --frames 30    on fewer frames, where they are many

Each writes ``benchmarks/results/NAME.json``. From those that README and docs quote blocks are made; a test
holds the two together. Those on real weights need YOLOTRT_TEST_DATA, a folder with ``coco-mini/`` and
``models/``.
Figures of a GPU are not made here: ``gpu.json`` came from ``python -m benchmarks.bench_gpu`` on the card
that it names, and ``paced.json`` from ``yolotrt bench`` (``docs/benchmarks.md``). Nor are those of
``python -m benchmarks.kills``, ``python -m benchmarks.soak``, ``python -m benchmarks.gpu_scaling``, of
``make fuzz``, and of what runs on Ray (``docs/scaling.md``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import readme_pictures, readme_runs, readme_tables
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text

WORK = Path("runs/bench")
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
"""Where figures are quoted."""


@dataclass(frozen=True)
class Recipe:
    """One set of figures.

    Attributes:
        measure: Makes them in a folder.
        data: Whether real weights and images are needed.
        modules: Packages that are needed.
        browser: Whether Chromium is needed.
        frames: Whether fewer frames can be asked for.
    """

    measure: Callable[..., readme_runs.Json]
    data: bool = False
    modules: tuple[str, ...] = ()
    browser: bool = False
    frames: bool = False

    def lacks(self) -> str | None:
        """Return what is missing here, or None."""
        if self.data and not Path(os.environ.get("YOLOTRT_TEST_DATA", "."), "coco-mini").is_dir():
            return "YOLOTRT_TEST_DATA, a folder with coco-mini/ and models/"
        if self.browser and readme_pictures.browser() is None:
            return "Chromium (make setup-browser)"
        missing = [name for name in self.modules if find_spec(name) is None]
        return f"the packages {', '.join(missing)}" if missing else None


FIGURES = {
    "demo-model": Recipe(readme_runs.demo),
    "accuracy": Recipe(readme_runs.accuracy, data=True, modules=("ultralytics",)),
    "int8-comparison": Recipe(readme_runs.int8_comparison, data=True, modules=("ultralytics", "modelopt")),
    "calibration-cost": Recipe(readme_runs.calibration_cost, data=True, modules=("ultralytics",)),
    "tiling": Recipe(readme_runs.tiling, data=True, modules=("ultralytics",)),
    "whole-objects": Recipe(readme_runs.whole_objects, data=True, modules=("ultralytics",), frames=True),
    "rtx-layers": Recipe(readme_runs.rtx_layers, data=True, modules=("ultralytics", "tensorrt_rtx")),
    "quick-start": Recipe(readme_runs.quick_start, data=True, modules=("ultralytics",)),
    "merge-comparison": Recipe(readme_runs.merge_comparison, data=True, modules=("ultralytics", "sahi")),
    "eval-overhead": Recipe(readme_runs.eval_overhead, data=True, modules=("ultralytics",)),
    "small-objects": Recipe(readme_runs.small_objects),
    "start-up": Recipe(readme_runs.start_up),
    "adaptive": Recipe(
        readme_runs.adaptive, data=True, modules=("ultralytics", "trackers", "trackeval"), frames=True
    ),
    "download": Recipe(readme_runs.download),
    "overhead": Recipe(readme_runs.overhead, data=True, modules=("ultralytics",)),
    "peers": Recipe(readme_runs.peers, data=True, modules=("ultralytics",)),
    "measuring": Recipe(readme_runs.measuring, data=True, modules=("ultralytics",)),
    "session-options": Recipe(readme_runs.session_options, data=True, modules=("ultralytics",)),
    "pictures": Recipe(readme_pictures.make, browser=True),
}


def write_pages() -> None:
    """Write the blocks of README and documents whose figures are kept."""
    blocks = {name: text for name in readme_tables.RENDERERS if (text := readme_tables.block(name, RESULTS))}
    for page in PAGES:
        text = page.read_text()
        if (new := readme_tables.replaced(text, blocks)) != text:
            write_text(page, new)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(FIGURES)}")
    parser.add_argument("--list", action="store_true", help="say what there is and what it lacks here")
    parser.add_argument(
        "--readme", action="store_true", help="write the blocks of README and docs without measuring"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="at most N frames of each kind")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(FIGURES):
        parser.error(f"there are no figures called {', '.join(sorted(unknown))}")
    for name in () if arguments.readme else arguments.names or FIGURES:
        if (lacking := FIGURES[name].lacks()) is not None or arguments.list:
            print(f"{name}: {'needs ' + lacking if lacking else 'can run here'}", file=sys.stderr)
            continue
        print(f"== {name}", flush=True)
        measure = FIGURES[name].measure
        if FIGURES[name].frames:
            measure = partial(measure, frames=arguments.frames)
        found = readme_runs.run(measure, WORK / name)
        write_text(RESULTS / f"{name}.json", json.dumps(as_values(found), indent=1) + "\n")
    if not arguments.list:
        write_pages()


if __name__ == "__main__":
    main()
