"""Fuzz every parser that ``tests/fuzz/targets.py`` lists, guided by coverage (atheris, libFuzzer).

Inputs come from libFuzzer's own mutations and from those of ``tests/fuzz/mutate.py``, half and half. A parser
fails by any exception but a YoloTrtError, by 20 seconds for one input, by 2 GB of memory, or by a crash of
the process. Each runs in a process of its own, one after the other, for an equal share of the time.

    pip install atheris        # into an environment that has the dev extra
    python tools/fuzz.py --minutes 12 --json benchmarks/results/fuzz.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 20
MEMORY_MIB = 2048


def fuzz(name: str, folder: Path, seconds: int) -> None:
    """Fuzz one parser; does not return."""
    import atheris

    with atheris.instrument_imports(include=["yolotrt", "ruamel"]):
        from tests.fuzz.mutate import damaged
        from tests.fuzz.targets import TARGETS
        from yolotrt.errors import YoloTrtError
    target = TARGETS[name]
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    work.mkdir()
    for number, seed in enumerate(target.seeds(work)):
        (corpus / f"seed{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        with contextlib.suppress(YoloTrtError):
            target.parse(data, work)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return damaged(data, rng, is_json=target.json)[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    limits = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    arguments = [
        *limits,
        "-max_len=60000",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()


def run(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one parser in a process of its own and return what came of it."""
    with tempfile.TemporaryDirectory(prefix="yolotrt-fuzz-") as place:
        folder = Path(place)
        begin = time.monotonic()
        command = [sys.executable, __file__, "--only", name, "--in", place, "--seconds", str(seconds)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
        said = done.stdout + done.stderr
        figures = dict(re.findall(r"stat::(\w+): +(\d+)", said))
        coverage = re.findall(r"cov: (\d+)", said)
        found: dict[str, Any] = {
            "seconds": round(time.monotonic() - begin),
            "inputs": int(figures.get("number_of_executed_units", 0)),
            "coverage_edges": [int(coverage[0]), int(coverage[-1])] if coverage else None,
            "peak_rss_mib": int(figures.get("peak_rss_mb", 0)),
            "held": done.returncode == 0,
        }
        if done.returncode:
            found["said"] = said[-3000:]
            found["input"] = [p.read_bytes()[:4000].hex() for p in folder.glob("*-*") if p.is_file()]
        return found


def main() -> None:
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help="one parser, by name")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        fuzz(arguments.only, arguments.folder, arguments.seconds)
        return
    from tests.fuzz.targets import TARGETS
    from yolotrt.artifacts.files import write_text

    names = [arguments.only] if arguments.only else list(TARGETS)
    seconds = round(arguments.minutes * 60 / len(names))
    found: dict[str, Any] = {}
    for name in names:
        found[name] = run(name, seconds)
        print(name, json.dumps({k: v for k, v in found[name].items() if k != "input"}), flush=True)
    text = json.dumps({"minutes": arguments.minutes, "parsers": found}, indent=1)
    if arguments.json:
        write_text(arguments.json, text + "\n")
    broken = [name for name, entry in found.items() if not entry["held"]]
    if broken:
        sys.exit(f"not held: {', '.join(broken)}")


if __name__ == "__main__":
    main()
