"""Build the wheel, look into it, install it into an empty environment, and run the demo from elsewhere.

Then build the source archive, and see that its tests find all that they import.

python tools/check_wheel.py [PIP ARGUMENTS...]
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DATA = re.compile(
    r"yolotrt/(?:py\.typed|schemas/[\w.-]+\.schema\.json|cuda/kernels/\w+\.cuh?|report/\w+\.css|data/assets/[\w-]+\.onnx)"
)
"""What belongs into the wheel beside Python modules; read when yolotrt runs, or by type checkers."""

DEMO_SECONDS = 180
"""Processor time that the quick demo may take: about 40 s on two cores of today, 65 where others share the
cores' caches. The limit finds a demo that works several times too much, not a slow machine."""

ALONE = """
from yolotrt.distribution import changed_files, install_hint, rivals
assert not rivals(), rivals()
assert not changed_files(), changed_files()
assert "cuda-bindings" in install_hint("cuda"), install_hint("cuda")
"""
"""Run in the empty environment: the package is ours alone, and hints name packages that the index has."""

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
        _run([str(bin_folder / "python"), "-c", ALONE], elsewhere)
        before = _processor_seconds()
        _run([str(bin_folder / "yolotrt"), "demo", "--quick", "--out", "demo"], elsewhere, timeout_s=600)
        if (took := _processor_seconds() - before) > DEMO_SECONDS:
            sys.exit(f"the quick demo took {took:.0f} s of processor time; {DEMO_SECONDS} are allowed")
        if not (elsewhere / "demo" / "result.json").is_file():
            sys.exit("the demo left no result")
        check_source_archive(folder, bin_folder, pip_args)
    print(f"{wheel.name}: installs into an empty environment and runs the demo")


def check_source_archive(folder: Path, bin_folder: Path, pip_args: list[str]) -> None:
    """Refuse an archive whose tests cannot be collected: they use ``benchmarks/``, and its kept results."""
    _run([str(bin_folder / "pip"), "install", "-q", *pip_args, "hatchling"], folder)
    _run([str(bin_folder / "hatchling"), "build", "-t", "sdist", "-d", str(folder)], ROOT)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "source")
    (unpacked,) = (folder / "source").iterdir()
    _run(
        [sys.executable, "-m", "pytest", "-qq", "--collect-only", "--no-summary", "-p", "no:cacheprovider"],
        unpacked,
    )
    _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_readme.py"], unpacked)


def check_contents(wheel: Path) -> None:
    """Refuse a wheel with files that nobody needs, or without those that everybody does."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    inside = {name for name in names if ".dist-info/" not in name}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "yolotrt").rglob("*.py")}
    unknown = {name for name in inside - modules if not DATA.fullmatch(name)}
    if unknown or modules - inside:
        sys.exit(f"the wheel has {sorted(unknown)} and lacks {sorted(modules - inside)}")
    kinds = {Path(name).suffix for name in inside}
    if not {".json", ".cu", ".cuh", ".onnx"} <= kinds:
        sys.exit(f"the wheel lacks data: it has only {sorted(kinds)}")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        sys.exit("the wheel lacks its licence file")
    if "License-Expression: AGPL-3.0-or-later" not in metadata:
        sys.exit("the wheel's metadata do not name the licence")
    if wheel.stat().st_size > LARGEST:
        sys.exit(f"the wheel has grown to {wheel.stat().st_size / 1e6:.1f} MB")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[str], folder: Path, timeout_s: float | None = None) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        code = subprocess.run(command, cwd=folder, env=environment, timeout=timeout_s).returncode
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(command[:4])} ... did not end within {timeout_s:g} s")
    if code:
        sys.exit(f"{' '.join(command[:4])} ... ended with {code}")


if __name__ == "__main__":
    main()
