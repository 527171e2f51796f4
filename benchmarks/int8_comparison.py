"""What INT8 loses, calibrated by us and by others: mAP on the same images, calibration time and memory.

Every method calibrates in a process of its own, on the same images with the same letterbox. Graphs for
a GPU are judged by fake quantisation (ONNX Runtime with graph optimisations off); ``as it runs`` has the
CPU's own integer kernels. Methods that are not installed are named and skipped.

    python -m benchmarks.int8_comparison --weights-onnx FILE --images DIR --annotations JSON --calib DIR \
        [--methods "NAME; NAME"] [--limit N] [--calib-limit N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
from rich.console import Console
from rich.table import Table

from benchmarks.int8_methods import METHODS, NOT_INSTALLED, THREADS, plain
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import Engine, EngineFile, Precision
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.backends.onnxruntime.fake_quantized import FakeQuantizedEngine
from yolotrt.data.images import list_images
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.comparison import Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.evaluation.run import annotated_images
from yolotrt.machine.environment import environment
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.quantization.graph import WEIGHTED, GraphView
from yolotrt.report.figures import signed
from yolotrt.workflow.evaluate import COCO_DECODE


def calibrated(name: str, network: Path, calib: Path, limit: int | None, target: Path) -> dict[str, Any]:
    """Calibrate in a process of its own; return its time and memory, or why there is nothing."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.int8_comparison",
        "--calibrate",
        name,
        "--target",
        str(target),
    ]
    command += ["--weights-onnx", str(network), "--calib", str(calib)]
    command += ["--calib-limit", str(limit)] if limit else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        skipped = "skipped" if done.returncode == NOT_INSTALLED else f"failed with {done.returncode}"
        return {"status": skipped, "why": last}
    return {"status": "done", **json.loads(done.stdout.splitlines()[-1])}


def calibrate_here(name: str, network: Path, images: list[Path], target: Path) -> None:
    """Calibrate in this process; print CPU and wall seconds and peak memory as JSON."""
    method = plain if name == "plain" else METHODS[name].calibrate
    assert method is not None
    begin, cpu = time.perf_counter(), time.process_time()
    method(network, images, target)
    seconds = {
        "calibration_cpu_s": round(time.process_time() - cpu, 2),
        "calibration_wall_s": round(time.perf_counter() - begin, 2),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps({**seconds, "peak_rss_mib": round(peak), "images": len(images)}))


def evaluated(
    network: Path, spec_of: Path, fake_quantized: bool, truth: GroundTruth, folder: Path
) -> Evaluation:
    spec = read_spec(load_onnx(spec_of), spec_of.stem)
    precision: Precision = "fp32" if network == spec_of else "int8"
    file = EngineFile(network, "onnxruntime", precision, spec, (), sha256_file(network))
    engine: Engine = (
        FakeQuantizedEngine(onnx.load(network), file) if fake_quantized else OnnxRuntimeEngine(file)
    )
    settings = PipelineSettings("global", cpu_threads=THREADS, decode=COCO_DECODE)
    with TiledPipeline(engine, settings) as pipeline:
        evaluator = Evaluator(truth, spec.names)
        for image_id, pixels in annotated_images(truth, folder):
            evaluator.add(image_id, pipeline(pixels).detections)
        return evaluator.result()


def in_int8(network: Path, reference: Path) -> dict[str, Any]:
    """Return how many convolutions read and weigh 8-bit values, and their share of the multiply-adds."""
    view, fp32 = GraphView(onnx.load(network)), GraphView(load_onnx(reference))
    work = {n.name: fp32.multiply_adds(n) for n in fp32.nodes if n.op_type in WEIGHTED}
    integer = [
        n.name
        for n in view.nodes
        if n.op_type in WEIGHTED
        and all(i in view.producer and view.producer[i].op_type == "DequantizeLinear" for i in n.input[:2])
    ]
    share = sum(work.get(name, 0) for name in integer) / sum(work.values())
    return {"layers": len(integer), "of": len(work), "share_of_multiply_adds": round(share, 4)}


def table(result: dict[str, Any]) -> Table:
    images = result["images"]
    shown = Table(title=f"INT8 on {images} images, calibrated on {result['calibration_images']}")
    shown.add_column("method")
    for title in ("box mAP", "mask mAP", "box loss, %", "mask loss, %", "INT8 work, %", "calibration, CPU s"):
        shown.add_column(title, justify="right")
    shown.add_column("of plain inference", justify="right")
    shown.add_column("peak RSS, MiB", justify="right")
    for row in result["methods"]:
        if row["status"] != "done":
            shown.add_row(row["name"], f"{row['status']}: {row['why']}")
            continue
        cells = [f"{row['box'] * 100:.2f}", f"{row['mask'] * 100:.2f}"]
        cells += [signed(row[k] * 100, 2) if k in row else "-" for k in ("box_loss", "mask_loss")]
        cells.append(f"{row['int8']['share_of_multiply_adds'] * 100:.1f}" if "int8" in row else "-")
        taken = row.get("calibration_cpu_s")
        cells += ["-", "-"] if taken is None else [f"{taken:.0f}", f"{taken / row['plain_cpu_s']:.1f}x"]
        shown.add_row(row["name"], *cells, str(row.get("peak_rss_mib", "-")))
    return shown


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    truth = load_ground_truth(arguments.annotations, limit=arguments.limit)
    network: Path = arguments.weights_onnx
    names = [n.strip() for n in arguments.methods.split(";")] if arguments.methods else list(METHODS)
    rows: list[dict[str, Any]] = []
    reference: Evaluation | None = None
    with tempfile.TemporaryDirectory() as folder:
        where = (network, arguments.calib, arguments.calib_limit)
        first = calibrated("plain", *where, Path(folder) / "none")
        for name in dict.fromkeys(["fp32", *names]):
            method = METHODS[name]
            target = Path(folder) / f"{len(rows)}.onnx" if method.calibrate else network
            row: dict[str, Any] = {"name": name, "status": "done"}
            row |= calibrated(name, *where, target) if method.calibrate else {}
            if row["status"] == "done":
                found = evaluated(target, network, method.fake_quantized, truth, arguments.images)
                reference = reference or found
                row |= figures(reference, found)
                if method.calibrate:
                    row |= {"int8": in_int8(target, network), "plain_cpu_s": first["calibration_cpu_s"]}
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    return {
        "network": network.name,
        "network_key": onnx_key(load_onnx(network)),
        "images": len(truth.images),
        "calibration_images": first["images"],
        "methods": rows,
        "modelopt": version("nvidia-modelopt") if find_spec("modelopt") else None,
        "environment": environment(THREADS),
    }


def completed(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the new result with those rows of an earlier one that it does not have itself."""
    same = ("network_key", "images", "calibration_images")
    if any(earlier.get(name) != now[name] for name in same):
        raise SystemExit("The file holds results of another network or of other images; it is left alone.")
    rows = {row["name"]: row for row in [*earlier["methods"], *now["methods"]]}
    known = now["modelopt"] or earlier.get("modelopt")
    return {**now, "modelopt": known, "methods": [rows[name] for name in METHODS if name in rows]}


def figures(reference: Evaluation, found: Evaluation) -> dict[str, Any]:
    accuracy = found.accuracy
    row: dict[str, Any] = {
        "box": accuracy.box.ap,
        "mask": accuracy.mask.ap if accuracy.mask else None,
        "detections": accuracy.detections,
    }
    if found is reference:
        return row
    against = compare(reference, found)
    row["box_loss"] = -(against.box.relative or 0.0)
    row["box_interval_pt"] = _interval_pt(against.box)
    if against.mask is not None:
        row["mask_loss"] = -(against.mask.relative or 0.0)
        row["mask_interval_pt"] = _interval_pt(against.mask)
    return row


def _interval_pt(difference: Difference) -> list[float] | None:
    """Return the interval of a loss in points; None where there is none."""
    if difference.low is None or difference.high is None:
        return None
    return [-difference.high * 100, -difference.low * 100]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights-onnx", type=Path, required=True, help="the FP32 network")
    parser.add_argument("--calib", type=Path, required=True, help="folder of calibration images")
    parser.add_argument("--images", type=Path, help="folder of annotated images")
    parser.add_argument("--annotations", type=Path, help="their COCO instances JSON")
    parser.add_argument("--methods", help=f"some of: {'; '.join(METHODS)}, separated by semicolons")
    parser.add_argument("--limit", type=int, help="use only the first annotated images")
    parser.add_argument("--calib-limit", type=int, help="use only the first calibration images")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--calibrate", help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.calibrate:
        images = list_images(arguments.calib)[: arguments.calib_limit]
        calibrate_here(arguments.calibrate, arguments.weights_onnx, images, arguments.target)
        return
    if arguments.images is None or arguments.annotations is None:
        parser.error("--images and --annotations are needed")
    result = measured(arguments)
    if arguments.json and arguments.json.exists():
        result = completed(json.loads(arguments.json.read_text()), result)
    Console(width=None if sys.stdout.isatty() else 160).print(table(result))
    if arguments.json:
        write_text(arguments.json, json.dumps(as_values(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
