"""Run the benchmarks behind the README's figures and keep their JSON in ``runs/bench/``.

Those on the carried demo model always run; those on real weights and images need YOLOTRT_TEST_DATA (a
folder with ``coco-mini/`` and ``models/``) and the export extra, and are skipped, visibly, without.

    python -m bench
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.base import Precision
from yolotrt.data.scene_files import write_scenes
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import CALIBRATION_SEED, demo_model

OUT = Path("runs/bench")


def engines(model: Path, images: Path, tiles: bool) -> tuple[Path, Path]:
    def build(precision: Precision) -> Path:
        request = BuildRequest(
            model,
            precision,
            backend="onnxruntime",
            images=images,
            algorithm="minmax" if tiles else "mse",
            tile_overlap=0.2 if tiles else None,
            engines=OUT,
            calib_data=OUT,
        )
        return build_engine(request).file.path

    return build("fp32"), build("int8")


def run(name: str, *arguments: str | Path) -> None:
    print(f"== {name}", flush=True)
    target = OUT / f"{name}.json"
    module = name.partition("-")[0]
    subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *map(str, arguments), "--json", target], check=True
    )


def main() -> None:
    write_scenes(OUT / "calibration", 8, CALIBRATION_SEED)
    model = write_bytes(OUT / "demo.onnx", demo_model())
    run("overhead-demo", *engines(model, OUT / "calibration" / "images", tiles=True))
    run("small_objects")
    run("merge_comparison")  # against SAHI too where it is installed
    run("bench_download")
    data = Path(os.environ.get("YOLOTRT_TEST_DATA", "."))
    if not (data / "coco-mini").is_dir() or find_spec("ultralytics") is None:
        print("skipped: real weights and images (set YOLOTRT_TEST_DATA, pip install 'yolotrt[export]')")
        return
    weights, coco = data / "models" / "yolo11n-seg.pt", data / "coco-mini"
    fp32, int8 = engines(weights, coco / "calib" / "images", tiles=False)
    run("overhead-real", fp32, int8)
    val = coco / "val"
    run("eval_overhead", fp32, "--images", val / "images", "--annotations", val / "instances.json")


if __name__ == "__main__":
    main()
