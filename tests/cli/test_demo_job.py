"""The carried model and scenes through the command line: what a newcomer types, held to its accuracy."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli
from yolotrt.artifacts.files import write_bytes
from yolotrt.workflow.demo import demo_model


def test_scenes_build_eval_bench_predict(cli: Cli) -> None:
    write_bytes(Path("demo.onnx"), demo_model())
    size = ("--size", "896x640")  # two tiles
    for name, seed, count in (("calib", 700_000, 1), ("held-out", 710_000, 3)):
        done = cli("scenes", "--count", count, "--seed", seed, "--out", name, *size)
        assert done.code == 0, done.err

    calibration = ("--images", "calib/images", "--tiles", "--method", "minmax")
    built = {}
    for precision in ("--fp32", "--int8"):
        done = cli("build", "demo.onnx", precision, *calibration, "--backend", "onnxruntime")
        assert done.code == 0, done.err
        built[precision] = done.out.strip()

    truth = ("--images", "held-out/images", "--annotations", "held-out/instances.json")
    done = cli("eval", *built.values(), *truth, "--mode", "tiled", "--max-drop", "3%", "--json", "a.json")
    assert done.code == 0, done.err
    fp32, int8 = json.loads(Path("a.json").read_text())["engines"]
    assert fp32["box"]["ap"] > 0.80
    assert fp32["mask"]["ap"] > 0.75
    assert int8["comparison"]["box"]["relative"] > -0.03
    assert int8["comparison"]["mask"]["relative"] > -0.03

    frame = sorted(Path("held-out/images").iterdir())[0]
    done = cli(
        "bench",
        *built.values(),
        "--source",
        frame,
        "--groups",
        "1,2",
        "--mode",
        "tiled",
        "-n",
        1,
        "--warmup",
        0,
        "--json",
        "r.json",
    )
    assert done.code == 0, done.err
    cases = json.loads(Path("r.json").read_text())["cases"]
    tiled = {
        case["detections"]
        for case in cases
        if case["case"]["mode"] == "tiled" and "fp32" in case["case"]["engine"]
    }
    assert len(tiled) == 1, "groups and dispatch must not change what is found"

    done = cli("predict", built["--int8"], frame, "--save", "drawn")
    assert done.code == 0, done.err
    assert [path.name for path in Path("drawn").glob(f"{frame.stem}*")]
