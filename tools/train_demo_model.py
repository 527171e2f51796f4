"""Train the demo model: a narrow YOLO26-seg, from scratch, on synthetic scenes.

    python tools/train_demo_model.py --out runs/demo-model

The architecture and its losses are Ultralytics'; scenes and training loop are ours, because scenes can
be made faster than any dataset of them can be read. Needs ``pip install -e '.[export]'`` and, for the
committed settings, a GPU with 80 GB; to try it on a CPU:
``--epochs 1 --steps 2 --batch 2 --pool 2 --device cpu``.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import ultralytics
from scene_views import ScenePool
from segmentation_loss import SampledSegmentationLoss
from torch import nn
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import SegmentationModel, yaml_model_load
from ultralytics.utils.loss import E2ELoss
from ultralytics.utils.torch_utils import ModelEMA

from yolotrt.artifacts.files import atomic_target, write_text
from yolotrt.data.scenes.scene import CLASS_NAMES, WH

SCALE = (0.5, 0.125, 512)
"""Depth and width multiple and most channels; the smallest official network has a width of 0.25."""

PROTO_CHANNELS = 192
"""Channels of the prototype branch before the width multiple."""

LOSSES = ("box_loss", "seg_loss", "cls_loss", "l1_loss", "sem_loss")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the demo model on synthetic scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, curve and settings")
    parser.add_argument("--weights", type=Path, help="checkpoint to go on from, instead of random weights")
    parser.add_argument("--epochs", type=int, default=40, help="rows of the curve")
    parser.add_argument("--steps", type=int, default=100, help="batches per epoch, each with a fresh scene")
    parser.add_argument("--batch", type=int, default=128, help="views per batch")
    parser.add_argument("--pool", type=int, default=200, help="scenes that views are cut from at a time")
    parser.add_argument("--first-scene", type=int, default=1_000_000, help="seed of the first scene")
    parser.add_argument("--lr", type=float, default=5e-3, help="peak learning rate of AdamW")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and views")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)) - 1)
    return parser.parse_args()


def build_model(args: argparse.Namespace) -> SegmentationModel:
    """Return the untrained network, described by Ultralytics' own YAML at a scale of ours."""
    description = yaml_model_load("yolo26n-seg.yaml")
    description.update(scales={"demo": list(SCALE)}, scale="demo", nc=len(CLASS_NAMES))
    description["head"][-1][-1] = ["nc", 32, PROTO_CHANNELS]
    model = SegmentationModel(description, nc=len(CLASS_NAMES), verbose=False)
    model.names = dict(enumerate(CLASS_NAMES))
    model.args = get_cfg(overrides={"task": "segment", "epochs": args.epochs, "overlap_mask": True})
    if args.weights:
        # A checkpoint of this tool: it holds a whole network, so unpickling it runs its code.
        trained = torch.load(args.weights, map_location="cpu", weights_only=False)["model"]
        model.load_state_dict(trained.float().state_dict())
    return model.to(args.device, memory_format=torch.channels_last)


def parameter_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Split the parameters: convolution kernels decay, biases and normalisation do not."""
    kernels = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def learning_rate(done: float, peak: float) -> float:
    """Return the learning rate when a part of the training is done: a short ramp, then a cosine."""
    warmup = 0.04
    if done < warmup:
        return peak * max(done / warmup, 0.01)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2)


def as_float(value: Any) -> Any:
    """Return nested outputs with all tensors in float32."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, Mapping):
        return {key: as_float(item) for key, item in value.items()}
    return type(value)(as_float(item) for item in value)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device, total = torch.device(args.device), args.epochs * args.steps
    model = build_model(args).train()
    criterion = E2ELoss(model, SampledSegmentationLoss)
    groups = parameter_groups(model, args.decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.99), fused=device.type == "cuda")
    average = ModelEMA(model, decay=0.998, tau=200)
    pool = ScenePool(args.pool, total, args.first_scene, WH, device, args.workers)
    rng, begin, curve = np.random.default_rng(args.seed), time.perf_counter(), []
    for epoch in range(args.epochs):
        sums = torch.zeros(len(LOSSES), device=device)
        for step in range(epoch * args.steps, (epoch + 1) * args.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step / total, args.lr)
            sums += train_step(model, criterion, optimizer, pool.views(args.batch, rng))
            average.update(model)
            pool.refresh()
        criterion.update()  # shifts weight from the one-to-many head to the one-to-one head
        losses = dict(zip(LOSSES, (sums / args.steps).tolist(), strict=True))
        seconds = round(time.perf_counter() - begin, 1)
        curve.append({"epoch": epoch + 1, "images": (step + 1) * args.batch, "seconds": seconds, **losses})
        print(json.dumps(curve[-1]), flush=True)
        save(average.ema, curve, args)


def train_step(
    model: nn.Module, criterion: E2ELoss, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Take one step and return the parts of the loss, in the order of :data:`LOSSES`."""
    images = batch["img"].contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        outputs = model(images)
    loss, parts = criterion(as_float(outputs), batch)
    optimizer.zero_grad()
    (loss.sum() / len(images)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    return torch.stack([parts[name] for name in LOSSES])


def save(model: nn.Module, curve: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Write the averaged weights as an Ultralytics checkpoint, the curve and the settings."""
    model.criterion = None
    checkpoint = {
        "epoch": -1,
        "model": deepcopy(model).cpu().half(),  # as Ultralytics stores it
        "train_args": {"task": "segment", "imgsz": 640, "data": "yolotrt scenes", "seed": args.seed},
        "version": ultralytics.__version__,
        "license": "AGPL-3.0",
    }
    with atomic_target(args.out / "demo-yolo26-seg.pt") as temporary:
        torch.save(checkpoint, temporary)
    with atomic_target(args.out / "results.csv") as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(curve[0]))
        writer.writeheader()
        writer.writerows(curve)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k != "out"}
    settings |= {"scale": SCALE, "proto_channels": PROTO_CHANNELS, "class_names": CLASS_NAMES}
    write_text(args.out / "config.json", json.dumps(settings, indent=1) + "\n")


if __name__ == "__main__":
    train(arguments())
