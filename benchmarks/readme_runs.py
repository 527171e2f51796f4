"""Measure what the README quotes: one function per block, each by the commands that the README names.

Every function works in an empty folder of its own and returns what ``benchmarks/results/NAME.json`` keeps.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolotrt.machine.environment import environment
from yolotrt.workflow.demo import PRECISIONS

Json = dict[str, Any]

REAL = "yolo11n-seg"
QUICK_START = (
    f"export {REAL}.pt",
    f"calibrate engines/{REAL}.onnx --images coco-mini/calib/images",
    f"build engines/{REAL}.onnx --fp32 --backend onnxruntime",
    f"build engines/{REAL}.onnx --int8 --backend onnxruntime",
)
SWEEP = (
    f"bench engines/{REAL}.fp32.onnxruntime.onnx engines/{REAL}.int8.onnxruntime.onnx --source frame.jpg "
    "--groups 1,4 -n 10"
)
RTX_BUILD = "--backend tensorrt-rtx --compute-capability SM120"
RTX_BATCHES = ("1", "4", "32", "1-32")


def yolotrt(folder: Path, arguments: str, *, quiet: bool = False, may_fail: bool = False) -> str:
    """Run a command line as a user would, and return what it printed, talk included."""
    print(f"$ yolotrt {arguments}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "yolotrt", *arguments.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    if done.returncode or not quiet:
        print(done.stdout, end="", flush=True)
    if not may_fail:
        done.check_returncode()
    return done.stdout


def quick_start(folder: Path) -> Json:
    """Export, calibrate, build and measure real weights, as the quick start shows it."""
    for made in ("engines", "calib_data"):  # as for somebody who begins
        shutil.rmtree(folder / made, ignore_errors=True)
    _link(folder)
    shown = [{"command": c, "printed": yolotrt(folder, c, quiet=True)} for c in QUICK_START]
    yolotrt(folder, f"mosaics {_annotated('coco-mini/val')} --out mosaics --limit 8", quiet=True)
    frame = sorted((folder / "mosaics" / "images").iterdir())[0]
    shutil.copy(frame, folder / "frame.jpg")
    yolotrt(folder, f"{SWEEP} -o bench.json")
    result = json.loads((folder / "bench.json").read_text())
    for entry in result["cases"]:
        entry["timeline"] = []  # large, and nothing quotes it
    return {"transcript": shown, "sweep": SWEEP, "result": result}


def accuracy(folder: Path) -> Json:
    """Evaluate FP32 and INT8 on the annotated real images."""
    fp32, int8 = _real_engines(folder)
    return _evaluated(folder, f"eval {fp32} {int8} {_annotated('coco-mini/val')} --mode global")


def tiling(folder: Path) -> Json:
    """Evaluate the three passes on large frames composed from the annotated real images."""
    fp32, _ = _real_engines(folder, int8=False)
    yolotrt(folder, f"mosaics {_annotated('coco-mini/val')} --out mosaics", quiet=True)
    modes = ("global", "tiled", "tiled+global")
    found = [_evaluated(folder, f"eval {fp32} {_annotated('mosaics')} --mode {mode}") for mode in modes]
    return {"modes": found}


def whole_objects(folder: Path, frames: int | None = None) -> Json:
    """Evaluate passes on mosaics and on single enlarged photographs, with and without doubt."""
    fp32, _ = _real_engines(folder, int8=False)
    given = (fp32, *_annotated("coco-mini/val").split(), "--out", "whole")
    fewer = () if frames is None else ("--frames", str(frames))
    return _module(folder, "benchmarks.whole_objects", *(_inside(folder, word) for word in given), *fewer)


def demo(folder: Path) -> Json:
    """Evaluate the carried model's engines, as the demo leaves them, on held-out scenes cut into tiles."""
    yolotrt(folder, "demo", quiet=True)
    yolotrt(folder, "scenes --count 50 --tile 640 --out held-out", quiet=True)
    engines = (f"runs/demo/demo.{precision}.onnxruntime.onnx" for precision in PRECISIONS)
    return _evaluated(folder, f"eval {' '.join(engines)} {_annotated('held-out')} --mode global")


def rtx_layers(folder: Path) -> Json:
    """Build with TensorRT-RTX in every form of a network, and read what the builder says of the layers."""
    _link(folder)
    yolotrt(folder, f"export {REAL}.pt", quiet=True)
    given = (f"engines/{REAL}.onnx", "coco-mini/calib/images")
    found = _module(folder, "benchmarks.rtx_variants", *(_inside(folder, word) for word in given))
    sizes = {}
    for batch in RTX_BATCHES:
        engine = f"batch-{batch}.engine"
        yolotrt(
            folder, f"build engines/{REAL}.onnx --fp16 {RTX_BUILD} --batch {batch} -o {engine}", quiet=True
        )
        sizes[batch] = (folder / engine).stat().st_size
    return {**found, "fp16_bytes_by_batch": sizes}


def int8_comparison(folder: Path) -> Json:
    """Compare what INT8 loses, calibrated by us and by others that are installed."""
    _link(folder)
    yolotrt(folder, QUICK_START[0], quiet=True)
    given = ("--weights-onnx", f"engines/{REAL}.onnx", *_annotated("coco-mini/val").split())
    given += ("--calib", "coco-mini/calib/images")
    return _module(folder, "benchmarks.int8_comparison", *(_inside(folder, word) for word in given))


def calibration_cost(folder: Path) -> Json:
    """Compare calibrating by entropy with plain inference of the same images."""
    _link(folder)
    yolotrt(folder, QUICK_START[0], quiet=True)
    given = (f"engines/{REAL}.onnx", "coco-mini/calib/images")
    return _module(folder, "benchmarks.calibration_cost", *(_inside(folder, word) for word in given))


def small_objects(folder: Path) -> Json:
    """Count the small objects of held-out scenes that each pass finds."""
    return _module(folder, "benchmarks.small_objects")


def start_up(folder: Path) -> Json:
    """Compare ``predict`` of one picture with loading the session and running it."""
    yolotrt(folder, "demo --quick", quiet=True)
    return _module(folder, "benchmarks.start_up", str(folder / "runs/demo/demo.int8.onnxruntime.onnx"))


def adaptive(folder: Path, frames: int | None = None) -> Json:
    """Choose tiles on generated videos, without a network and with one, against looking at all of them."""
    _link(folder)
    yolotrt(folder, f"export {REAL}.pt --imgsz 320 -o small.onnx", quiet=True)
    yolotrt(folder, "build small.onnx --fp32 --backend onnxruntime -o small.fp32.onnx", quiet=True)
    fewer = () if frames is None else ("--frames", str(frames))
    taken = ("--photographs", folder / "coco-mini" / "val", "--coco-engine", folder / "small.fp32.onnx")
    return {
        "looks": _module(folder, "benchmarks.adaptive_looks", "--footage", "day,dusk,rain,sway,pan"),
        "network": _module(folder, "benchmarks.adaptive", *fewer),
        "each": _module(
            folder, "benchmarks.adaptive", *fewer, "--footage", "day,dusk,rain,sway", "--sample", "1",
            *map(str, taken),
        ),
    }  # fmt: skip


def download(folder: Path) -> Json:
    """Compare the downloader with itself over one connection, on a local server."""
    return _module(folder, "benchmarks.bench_download")


def overhead(folder: Path) -> Json:
    """Compare whole frames with the bare runtime, and FP32 with INT8."""
    fp32, int8 = _real_engines(folder)
    return _module(folder, "benchmarks.overhead", str(folder / fp32), str(folder / int8))


def merge_comparison(folder: Path) -> Json:
    """Compare merging with SAHI's on the same detections."""
    fp32, _ = _real_engines(folder, int8=False)
    yolotrt(folder, f"mosaics {_annotated('coco-mini/val')} --out mosaics", quiet=True)
    given = ("--engine", fp32, *_annotated("mosaics").split(), "--limit", "5")
    return _module(folder, "benchmarks.merge_comparison", *(_inside(folder, word) for word in given))


def eval_overhead(folder: Path) -> Json:
    """Compare evaluating with inference alone."""
    fp32, _ = _real_engines(folder, int8=False)
    given = (fp32, *_annotated("coco-mini/val").split())
    return _module(folder, "benchmarks.eval_overhead", *(_inside(folder, word) for word in given))


def peers(folder: Path) -> Json:
    """Compare whole frames with other tools on the processor, each at its best settings."""
    fp32, int8 = _real_engines(folder)
    yolotrt(folder, f"mosaics {_annotated('coco-mini/val')} --out mosaics --limit 8", quiet=True)
    frame = sorted((folder / "mosaics" / "images").iterdir())[0]
    given = [str(folder / name) for name in (f"{REAL}.pt", int8, fp32)]
    return _module(folder, "benchmarks.peers", *given, "--source", str(frame), "--rounds", "4")


def measuring(folder: Path) -> Json:
    """Measure what measuring adds to a frame on the processor."""
    _, int8 = _real_engines(folder)
    yolotrt(folder, f"mosaics {_annotated('coco-mini/val')} --out mosaics --limit 8", quiet=True)
    frame = sorted((folder / "mosaics" / "images").iterdir())[0]
    return _module(
        folder, "benchmarks.measuring", str(folder / int8), "--source", str(frame), "--frames", "20"
    )


def session_options(folder: Path) -> Json:
    """Compare ONNX Runtime's session options, and OpenVINO."""
    given = [str(folder / engine) for engine in _real_engines(folder)]
    return _module(folder, "benchmarks.session_options", *given)


def _inside(folder: Path, word: str) -> str:
    return word if word.startswith("-") or word.isdigit() else str(folder / word)


def _module(folder: Path, name: str, *arguments: str) -> Json:
    target = folder / "found.json"
    subprocess.run([sys.executable, "-m", name, *arguments, "--json", str(target)], check=True)
    found: Json = json.loads(target.read_text())
    return found


def _evaluated(folder: Path, command: str) -> Json:
    yolotrt(folder, f"{command} --json eval.json")
    return {"command": command, **json.loads((folder / "eval.json").read_text())}


def _annotated(folder: str) -> str:
    return f"--images {folder}/images --annotations {folder}/instances.json"


def _real_engines(folder: Path, *, int8: bool = True) -> tuple[str, str]:
    """Make what has not been made yet in the folder, and return the engines' names."""
    _link(folder)
    for command in QUICK_START if int8 else (QUICK_START[0], QUICK_START[2]):
        yolotrt(folder, command, quiet=True)
    return f"engines/{REAL}.fp32.onnxruntime.onnx", f"engines/{REAL}.int8.onnxruntime.onnx"


def _link(folder: Path) -> None:
    data = Path(os.environ["YOLOTRT_TEST_DATA"]).resolve()
    for name, target in ((f"{REAL}.pt", data / "models" / f"{REAL}.pt"), ("coco-mini", data / "coco-mini")):
        if not (folder / name).exists():
            (folder / name).symlink_to(target)


def run(measure: Callable[[Path], Json], folder: Path) -> Json:
    """Run one of the functions above, and add the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    return {**measure(folder), "environment": environment(len(os.sched_getaffinity(0)))}
