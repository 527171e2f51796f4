"""Starting the program costs nothing. Which room may import which is for import-linter, in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['yolotrt', '--help']\n"
        "from yolotrt.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "bad = {'numpy', 'onnx', 'onnxruntime', 'cv2', 'rich', 'httpx', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Start with" in done.stdout
