"""Make the README's pictures from a run of the demo model, by the commands that a reader would type.

``report.jpg`` is the page of ``yolotrt report`` in Chromium. ``global-and-tiled.jpg`` is what the demo
writes under that name.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2

from benchmarks.readme_runs import Json, yolotrt

PICTURES = Path(__file__).parent / "pictures"
ENGINES = "demo/demo.fp32.onnxruntime.onnx demo/demo.int8.onnxruntime.onnx"
PAGE_WH = (1180, 1560)
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 88]


def make(folder: Path) -> Json:
    """Run the demo, a longer sweep of its engines and an evaluation of both passes; take the pictures."""
    yolotrt(folder, "demo --out demo", quiet=True)
    sweep = f"bench {ENGINES} --source demo/scene.png --groups 1,2,4,8 -n 12 -o result.json"
    yolotrt(folder, f"{sweep} --budget end_to_end=60s", quiet=True)
    held_out = "--images demo/held-out/images --annotations demo/held-out/instances.json"
    for mode in ("tiled", "global"):
        yolotrt(folder, f"eval {ENGINES} {held_out} --mode {mode} --json {mode}.json", quiet=True)
    accuracy = "--accuracy tiled.json --accuracy global.json"
    page = f"report result.json {accuracy} --budget end_to_end=700ms --budget-stat p95 --html page.html"
    yolotrt(folder, page, quiet=True, may_fail=True)  # ends with 3 where the budget is missed
    _save("report.jpg", screenshot(folder / "page.html", folder / "page.png", PAGE_WH))
    shutil.copy(folder / "demo" / "global-and-tiled.jpg", PICTURES)
    return {"commands": [sweep, page], "pictures": ["report.jpg", "global-and-tiled.jpg"]}


def screenshot(page: Path, target: Path, wh: tuple[int, int]) -> Any:
    """Return the top of a page as Chromium shows it."""
    found = browser()
    assert found is not None, "make setup-browser"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size, shot = "--window-size={},{}".format(*wh), f"--screenshot={target.resolve()}"
    command = [found, *options, size, shot, page.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return cv2.imread(str(target))


def browser() -> str | None:
    """Return Chromium's path, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _save(name: str, picture: Any) -> None:
    done, data = cv2.imencode(".jpg", picture, QUALITY)
    assert done
    (PICTURES / name).write_bytes(data.tobytes())
    print(f"picture: {PICTURES / name}", flush=True)
