"""Train networks of several architectures on synthetic scenes, all at once on one GPU and for the same time.

    python tools/train_subjects.py --out runs/subjects --seconds 140 --names yolo11s,yolo26n

They are subjects of ``python -m benchmarks.int8_bound``: small, and trained quickly. Each architecture is a
process of its own; the scenes are made once and shared. Needs ``pip install -e '.[export]'``. Trained on an
H200: these two together, YOLOv8n and YOLO12n beside others for 85 seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from copy import deepcopy
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import scene_views
import torch
import ultralytics
from scene_views import ScenePool, SceneTensors, SceneTensorSet
from segmentation_loss import SampledSegmentationLoss
from torch import nn
from train_demo_model import as_float, learning_rate, parameter_groups
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import SegmentationModel
from ultralytics.utils.loss import E2ELoss
from ultralytics.utils.torch_utils import ModelEMA

from yolotrt.data.scenes.scene import CLASS_NAMES

SIDE = 384
"""Width and height of the networks' input, px."""

SCENE_WH = (1024, 1024)
FIRST_SCENE = 3_000_000
SHIFTS = 30
"""Steps in which weight goes from the one-to-many head to the one-to-one head, which is what is exported."""

PEAK = {"yolov8n": 4e-3, "yolo12n": 4e-3, "yolo26n": 4e-3, "yolo11s": 3e-3}
"""Architectures and their peak learning rates."""


class FixedPool(ScenePool):  # type: ignore[misc]
    """A pool whose scenes stay.

    Args:
        held: All scenes, stacked, as :class:`SceneTensorSet` makes them.
        device: Where views are cut.
    """

    def __init__(self, held: SceneTensors, device: torch.device) -> None:
        self._size, self._wh, self._device = len(held["image"]), SCENE_WH, device
        self._held = {name: tensor.to(device) for name, tensor in held.items()}


def scene(index: int) -> dict[str, np.ndarray]:
    found = SceneTensorSet(FIRST_SCENE, index + 1, SCENE_WH)[index]
    return {name: tensor.numpy() for name, tensor in found.items()}


def make_scenes(count: int, target: Path) -> None:
    with Pool(len(os.sched_getaffinity(0))) as pool:
        found = pool.map(scene, range(count), chunksize=4)
    torch.save({name: torch.from_numpy(np.stack([one[name] for one in found])) for name in found[0]}, target)


def train(name: str, args: argparse.Namespace, scenes: Path) -> None:
    scene_views.SIDE = SIDE
    torch.manual_seed(sum(map(ord, name)))
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(args.device)
    model = SegmentationModel(f"{name}-seg.yaml", nc=len(CLASS_NAMES), verbose=False)
    model.names = dict(enumerate(CLASS_NAMES))
    model.args = get_cfg(overrides={"task": "segment", "overlap_mask": True, "epochs": SHIFTS})
    model = model.to(device, memory_format=torch.channels_last).train()
    two_heads = "26" in name
    criterion = E2ELoss(model, SampledSegmentationLoss) if two_heads else SampledSegmentationLoss(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, 0.02), lr=PEAK[name], betas=(0.9, 0.99), fused=device.type == "cuda"
    )
    average = ModelEMA(model, decay=0.99, tau=50)
    pool = FixedPool(torch.load(scenes), device)
    rng, begin, steps, shifts = np.random.default_rng(sum(map(ord, name))), time.perf_counter(), 0, 0
    while (done := (time.perf_counter() - begin) / args.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, PEAK[name])
        batch = pool.views(args.batch, rng)
        images = batch["img"].contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            outputs = model(images)
        loss, _ = criterion(as_float(outputs), batch)
        optimizer.zero_grad()
        (loss.sum() / args.batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        average.update(model)
        steps += 1
        if two_heads and int(done * SHIFTS) > shifts:
            shifts = int(done * SHIFTS)
            criterion.update()
        if steps % 100 == 0:
            print(f"{name}: {done:.0%}, {steps} steps, loss {loss.sum().item() / args.batch:.3f}", flush=True)
    save(average.ema, args.out / f"{name}.pt")
    print(f"{name}: {steps} steps, {steps * args.batch} views", flush=True)


def save(model: nn.Module, target: Path) -> None:
    model.criterion = None
    checkpoint = {
        "epoch": -1,
        "model": deepcopy(model).cpu().half(),  # as Ultralytics stores it
        "train_args": {"task": "segment", "imgsz": SIDE, "data": "yolotrt scenes"},
        "version": ultralytics.__version__,
        "license": "AGPL-3.0",
    }
    torch.save(checkpoint, target)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=140)
    parser.add_argument("--batch", type=int, default=64, help="views per step")
    parser.add_argument("--scenes", type=int, default=640)
    parser.add_argument("--names", default=",".join(PEAK), help=f"some of: {', '.join(PEAK)}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    scenes = args.out / "scenes.torch"
    if args.one:
        train(args.one, args, scenes)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    make_scenes(args.scenes, scenes)
    running = [subprocess.Popen([sys.executable, *sys.argv, "--one", name]) for name in args.names.split(",")]
    codes = [process.wait() for process in running]
    scenes.unlink()
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
