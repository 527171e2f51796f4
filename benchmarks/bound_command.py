"""``yolotrt build MODEL --int8 --max-drop 1%`` as a user types it: what it ends with, and what that loses.

Each network is built from forty unannotated pictures, and again from forty black ones and forty of noise,
which must be refused. What was built is evaluated against FP32 with ``yolotrt eval`` on annotated images.

    python -m benchmarks.bound_command --json benchmarks/results/bound-command.json \
        --subject NAME NETWORK.onnx PICTURES IMAGES ANNOTATIONS [--subject ...] [--limit N] [--bound 1%] \
        [--before SOURCES --pairs 1 --only-times]

``--before`` names the sources of an earlier version (``git archive COMMIT yolotrt | tar x -C SOURCES``): the
command is then timed with both in turn, each in a fresh folder. Rows of an earlier file that are not measured
anew stay in it, and so do pairs of times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.cli.options import cores
from yolotrt.data.images import list_images
from yolotrt.machine.environment import environment
from yolotrt.quantization.batches import spread
from yolotrt.workflow.evaluate import MaxDrop

PICTURES = 40
"""Unannotated pictures that are calibrated and judged on."""

NOTHING = ("black", "noise")
"""Kinds of pictures that must be refused."""

HERE = Path(__file__).parents[1]
"""Sources of today's version."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, its last lines, and seconds by the clock and of the processor."""

    code: int
    said: str
    wall_s: float
    cpu_s: float


def ended(sources: Path, *arguments: str | Path, folder: Path) -> Ended:
    """Run ``yolotrt`` of some sources in a folder."""
    command = [sys.executable, "-m", "yolotrt", *map(str, arguments)]
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(sources)}, stdout=said, stderr=said
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    print(text, file=sys.stderr, flush=True)
    return Ended(child.returncode, text, round(wall, 1), round(used.ru_utime + used.ru_stime, 1))


def pictures_of(kind: str, source: Path, folder: Path) -> Path:
    """Return a folder with forty pictures: of a source, black, or of noise."""
    place = folder / kind
    place.mkdir()
    if kind not in NOTHING:
        for path in spread(list_images(source), PICTURES):
            shutil.copy(path, place)
        return place
    draws = np.random.default_rng(5)
    for i in range(PICTURES):
        picture = np.zeros((480, 640, 3), np.uint8)
        if kind == "noise":
            picture = draws.integers(0, 256, picture.shape, np.uint8)
        cv2.imwrite(str(place / f"{i:02}.png"), picture)
    return place


def built(
    sources: Path, network: Path, pictures: Path, bound: str, backend: str, folder: Path
) -> tuple[Ended, Row | None]:
    """Build in a fresh folder; return how it ended, and what it says of the engine, if one was made."""
    folder.mkdir()
    shutil.copy(network, folder)
    done = ended(
        sources, "build", network.name, "--int8", "--max-drop", bound, "--images", pictures,
        "--backend", backend, "--json", "built.json", folder=folder,
    )  # fmt: skip
    found = folder / "built.json"
    return done, json.loads(found.read_text()) if found.exists() else None


def lost(difference: Row, bound: MaxDrop) -> Row:
    """Return a loss relative to FP32's, its interval, and how likely it is beyond a bound.

    Args:
        difference: As ``eval`` writes it.
        bound: The bound.
    """
    base = difference["reference"]
    limit = bound.value * (base if bound.relative else 1.0)
    percentiles = np.array(difference["percentiles"])
    return {
        "reference": base,
        "loss": -difference["relative"],
        "interval": [-difference["high"] / base, -difference["low"] / base],
        "beyond": float(np.interp(-limit, percentiles, np.linspace(0, 1, len(percentiles)))),
    }


def measured(subject: Sequence[str], arguments: argparse.Namespace) -> Row:
    """Return what the command ends with on one network."""
    name, network, calib, images, annotations = subject[0], *(Path(part).resolve() for part in subject[1:])
    row: Row = {"subject": name, "bound": arguments.bound, "backend": arguments.backend}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pictures = pictures_of("pictures", calib, folder)
        called = (arguments.bound, arguments.backend)
        for kind in () if arguments.only_times else NOTHING:
            done, found = built(
                HERE, network, pictures_of(kind, calib, folder), *called, folder / f"of-{kind}"
            )
            error = [line for line in done.said.splitlines() if line.startswith("error: ")]
            row[kind] = {"code": done.code, "engine": found is not None, "said": error[-1:]}
        times = []
        for pair in range(arguments.pairs if arguments.before else 0):
            before, made = built(
                arguments.before.resolve(), network, pictures, *called, folder / f"before{pair}"
            )
            now, _ = built(HERE, network, pictures, *called, folder / f"now{pair}")
            work = None if made is None else (made.get("accuracy_bound") or made["promise"])["attempts"]
            times.append(
                {
                    "before": {"code": before.code, "wall_s": before.wall_s, "cpu_s": before.cpu_s,
                               "work": None if work is None else work[-1]["work"]},
                    "now": {"code": now.code, "wall_s": now.wall_s, "cpu_s": now.cpu_s},
                }
            )  # fmt: skip
        if times:
            row["times"] = times
        if arguments.only_times:
            return row
        place = folder / "engine"
        done, found = built(HERE, network, pictures, *called, place)
        row |= {"code": done.code, "wall_s": done.wall_s, "cpu_s": done.cpu_s, "pictures": PICTURES}
        if found is None:
            return row
        attempts = found["accuracy_bound"]["attempts"]
        row |= {
            "attempts": [{"work": a["work"], "estimate": max(a["losses"].values())} for a in attempts],
            "work": attempts[-1]["work"],
            "drift": attempts[-1]["figures"].get("score drift"),
        }
        few = ["--limit", str(arguments.limit)] if arguments.limit else []
        ended(
            HERE, "eval", found["path"], "--reference", "fp32", "--images", images, "--annotations",
            annotations, *few, "--mode", "global", "--json", "eval.json", folder=place,
        )  # fmt: skip
        _, engine = json.loads((place / "eval.json").read_text())["engines"]
        against, bound = engine["comparison"], MaxDrop.parse(arguments.bound)
        row |= {kind: lost(against[kind], bound) for kind in ("box", "mask") if against[kind] is not None}
        row |= {"images": engine["images"]}
    return row


def together(earlier: Sequence[Row], now: Row) -> list[Row]:
    """Return all rows; what is measured anew takes the place of what was known; pairs of times add up."""

    def key(row: Row) -> tuple[str, ...]:
        return row["subject"], row["bound"], row["backend"]

    rows = {key(row): row for row in earlier}
    known = rows.get(key(now), {})
    times = [*known.get("times", ()), *now.get("times", ())]
    rows[key(now)] = {**known, **now, **({"times": times} if times else {})}
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = ("NAME", "NETWORK", "PICTURES", "IMAGES", "ANNOTATIONS")
    parser.add_argument("--subject", nargs=5, action="append", metavar=named, required=True)
    parser.add_argument("--bound", default="1%")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--limit", type=int, help="evaluate on the first annotated images only")
    parser.add_argument("--before", type=Path, help="sources of an earlier version to time in turn")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--only-times", action="store_true", help="do nothing else than time")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    for subject in arguments.subject:
        row = measured(subject, arguments)
        found = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"rows": []}
        found = {"rows": together(found["rows"], row), "environment": as_values(environment(cores()))}
        write_text(arguments.json, json.dumps(found, indent=1) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
