"""Build the wheel, look into it, install it into an empty environment, and run the demo from elsewhere.

python tools/check_wheel.py [PIP ARGUMENTS...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DATA = re.compile(
    r"yolotrt/(?:bench/\w+\.schema\.json|cuda/kernels/\w+\.cu|report/\w+\.css|data/assets/[\w-]+\.onnx)"
)
"""What belongs into the wheel beside Python modules; all of it is read when yolotrt runs."""

LARGEST = 4_000_000
"""Bytes; of the 2.3 MB today, 2.1 are the demo's model."""


def main() -> None:
    # pip runs in other folders.
    pip_args = [str(Path(word).resolve()) if Path(word).exists() else word for word in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="yolotrt-wheel-") as place:
        folder = Path(place)
        pip = [sys.executable, "-m", "pip"]
        _run([*pip, "wheel", "-q", "--no-deps", "-w", place, str(ROOT)], folder)
        (wheel,) = folder.glob("*.whl")
        check_contents(wheel)
        _run([sys.executable, "-m", "venv", "empty"], folder)
        bin_folder = folder / "empty" / "bin"
        _run([str(bin_folder / "pip"), "install", "-q", *pip_args, str(wheel)], folder)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        _run([str(bin_folder / "yolotrt"), "demo", "--quick", "--out", "demo"], elsewhere)
        if not (elsewhere / "demo" / "result.json").is_file():
            sys.exit("the demo left no result")
    print(f"{wheel.name}: installs into an empty environment and runs the demo")


def check_contents(wheel: Path) -> None:
    """Refuse a wheel with files that nobody needs, or without those that everybody does."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    inside = {name for name in names if ".dist-info/" not in name}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "yolotrt").rglob("*.py")}
    strangers = {name for name in inside - modules if not DATA.fullmatch(name)}
    if strangers or modules - inside:
        sys.exit(f"the wheel has {sorted(strangers)} and lacks {sorted(modules - inside)}")
    kinds = {Path(name).suffix for name in inside}
    if not {".json", ".cu", ".onnx"} <= kinds:
        sys.exit(f"the wheel lacks data: it has only {sorted(kinds)}")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        sys.exit("the wheel lacks its licence file")
    if "License-Expression: AGPL-3.0-or-later" not in metadata:
        sys.exit("the wheel's metadata do not name the licence")
    if wheel.stat().st_size > LARGEST:
        sys.exit(f"the wheel has grown to {wheel.stat().st_size / 1e6:.1f} MB")


def _run(command: list[str], folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    if code := subprocess.run(command, cwd=folder, env=environment).returncode:
        sys.exit(f"{' '.join(command[:4])} ... ended with {code}")


if __name__ == "__main__":
    main()
