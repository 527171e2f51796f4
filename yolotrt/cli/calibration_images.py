"""What is fetched for who has none: images to calibrate on, and weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import typer

from yolotrt.cli.console import say
from yolotrt.cli.options import CALIB_DATA
from yolotrt.data.coco.layout import DATASET


def coco_images() -> Path:
    """Return COCO images to calibrate on, downloading them first where needed."""
    from yolotrt.cli.download import transfer_bars
    from yolotrt.workflow.coco import calibration_images

    with transfer_bars() as watch:
        return calibration_images(CALIB_DATA / DATASET, watch, say)


def offered_images(yes: bool) -> Path | None:
    """Offer the download; take it with ``--yes`` or when a person agrees."""
    from yolotrt.data.coco.request import offer
    from yolotrt.workflow.coco import calibration_request

    if yes:
        return coco_images()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    say("INT8 needs images to calibrate on; best are about 100 of your own camera (--images DIR).")
    question = f"{offer(calibration_request(CALIB_DATA / DATASET))} Download them?"
    return coco_images() if typer.confirm(question, err=True) else None


def may_fetch(yes: bool) -> Callable[[Path], bool]:
    """Return what asks before weights are fetched: nobody with ``--yes``, else a person, if there is one."""

    def ask(target: Path) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        question = f"{target.name} is not here. Let Ultralytics fetch its weights (AGPL-3.0) to {target}?"
        return typer.confirm(question, err=True)

    return ask
