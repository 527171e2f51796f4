"""Every error class: raised by the code that raises it in life, with the words and the code a user gets.

The words are kept in ``errors.json`` beside this file. After changing some on purpose:
``YOLOTRT_UPDATE_SNAPSHOTS=1 python -m pytest tests/test_errors.py``, and read the difference.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

import yolotrt
from tests.bench.fakes import result_of
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt import errors
from yolotrt.errors import ArtifactError, YoloTrtError

ROOT = Path(yolotrt.__file__).resolve().parent.parent
SNAPSHOT = Path(__file__).with_name("errors.json")

Raiser = Callable[[Path, pytest.MonkeyPatch], object]


def _usage(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.cli.options import whole_numbers

    whole_numbers("1,x", "--groups")


def _environment(_: Path, patch: pytest.MonkeyPatch) -> None:
    from yolotrt.data.fetch.http import Http, TransferSettings

    patch.setenv("HTTPS_PROXY", "nonsense://127.0.0.1")
    Http(TransferSettings(), threading.Event())


def _missing(_: Path, patch: pytest.MonkeyPatch) -> None:
    from yolotrt.cuda.compile import compile_source

    patch.setitem(sys.modules, "cuda.bindings", None)
    compile_source("", "tiles.cu", ())


def _device(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.pipeline.frames import as_frame

    as_frame(SimpleNamespace(__dlpack__=None, __dlpack_device__=lambda: (8, 0)))


def _gpu_failure(text: str) -> Raiser:
    def fail(folder: Path, _: pytest.MonkeyPatch) -> None:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail

        from yolotrt.backends.admission import admit
        from yolotrt.backends.onnxruntime.session import _mapped_gpu_errors

        file = admit(write_tiny_yolo(folder / "m.onnx"), trust=True)
        with _mapped_gpu_errors(file, SimpleNamespace(name="RTX 5060 Ti (cuda:0)")):  # type: ignore[arg-type]
            raise Fail(text)

    return fail


def _storage(folder: Path, _: pytest.MonkeyPatch) -> None:
    from yolotrt.artifacts.files import write_text

    (folder / "file").write_text("")
    write_text(folder / "file" / "below", "")


def _input(folder: Path, _: pytest.MonkeyPatch) -> None:
    from yolotrt.artifacts.documents import read_json

    read_json(folder / "none.json")


def _model(folder: Path, _: pytest.MonkeyPatch) -> None:
    from yolotrt.model.onnxfile import read_spec

    model = tiny_yolo()
    del model.graph.output[1]
    read_spec(model, "yolo11n")


def _image(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.pipeline.frames import as_frame

    as_frame("street.jpg")


def _artifact(folder: Path, _: pytest.MonkeyPatch) -> None:
    from yolotrt.backends.loading import open_engine

    open_engine(write_tiny_yolo(folder / "m.onnx"))


def _export(_: Path, patch: pytest.MonkeyPatch) -> None:
    from yolotrt.model.export import _fix_and_slim

    patch.setitem(sys.modules, "onnxslim", SimpleNamespace(slim=lambda _: None))
    _fix_and_slim(tiny_yolo(), Path("yolo26n-seg.pt"), (64, 64))


def _calibration(folder: Path, _: pytest.MonkeyPatch) -> None:
    from yolotrt.workflow.build import BuildRequest, build_engine

    model = write_tiny_yolo(folder / "m.onnx")
    build_engine(BuildRequest(model, "int8", backend="onnxruntime", engines=folder, calib_data=folder))


def _build(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.cuda.compile import _checked

    _checked((6,), "tiles.cu")


def _execution(folder: Path, _: pytest.MonkeyPatch) -> None:
    """Run a network whose shapes contradict each other once there are values."""
    from yolotrt.backends.loading import open_engine

    model = tiny_yolo()
    flat = next(t for t in model.graph.initializer if t.name == "flat")
    flat.raw_data = np.array([0, 7, -1], np.int64).tobytes()  # 7 does not divide what is there
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    open_engine(path, trust=True).new_context(1).run()


def _download(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.data.coco import source_http

    def attempt() -> None:
        raise ArtifactError("http://server/a.zip is not a usable zip archive: its directory is damaged.")

    source_http._repeated(attempt)


def _transfer(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.data.fetch.response import require_good

    require_good("http://server/a.zip", httpx.Response(403))


def _gate(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.bench.budgets import Budgets
    from yolotrt.cli.gates import check_budgets

    check_budgets(result_of([0.02] * 8), Budgets.parse(["end_to_end=10ms"], "p50"))


def _undecided(_: Path, __: pytest.MonkeyPatch) -> None:
    from yolotrt.bench.compare import compare
    from yolotrt.cli.compare import hold

    hold(compare(result_of([0.02] * 3), result_of([0.03] * 3)), 0.03, strict=True)


RAISERS: dict[str, Raiser] = {
    "UsageError": _usage,
    "EnvironmentFault": _environment,
    "MissingDependency": _missing,
    "DeviceError": _device,
    "OutOfDeviceMemory": _gpu_failure("CUDA failure 2: out of memory"),
    "DeviceLost": _gpu_failure("CUDA failure 700: an illegal memory access was encountered"),
    "StorageError": _storage,
    "InputError": _input,
    "ModelError": _model,
    "ImageError": _image,
    "ArtifactError": _artifact,
    "ExportError": _export,
    "CalibrationError": _calibration,
    "BuildError": _build,
    "ExecutionError": _execution,
    "DownloadError": _download,
    "TransferFailed": _transfer,
    "GateUndecided": _undecided,
    "GateFailed": _gate,
}


def _classes() -> dict[str, type[YoloTrtError]]:
    """Return every error class of the package, wherever it is defined."""
    for module in pkgutil.walk_packages(yolotrt.__path__, "yolotrt."):
        if not module.name.endswith(("__main__", "triton_python_model")):  # which runs in Triton alone
            importlib.import_module(module.name)
    found: dict[str, type[YoloTrtError]] = {}
    waiting = [YoloTrtError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.startswith("yolotrt."):
                found[kind.__name__] = kind
                waiting.append(kind)
    return found


def _raised(name: str, folder: Path, patch: pytest.MonkeyPatch) -> YoloTrtError:
    with pytest.raises(YoloTrtError) as caught:
        RAISERS[name](folder, patch)
    return caught.value


def _words(text: str | None, folder: Path) -> str | None:
    """Return a text without what differs between machines: folders, and other libraries' words."""
    if text is None:
        return None
    text = text.replace(str(folder), "FOLDER").replace(f"cd {ROOT} && ", "")
    return re.sub(r"(failed on \S+|cannot be used) \(.*\)(?=[.:])", r"\1 (...)", text)


def test_every_class_is_raised_here() -> None:
    assert set(_classes()) == set(RAISERS)


@pytest.mark.parametrize("name", RAISERS)
def test_words_and_exit_code_are_as_agreed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _raised(name, tmp_path, monkeypatch)
    assert type(error).__name__ == name
    said = {"exit": error.exit_code, "message": _words(error.message, tmp_path)}
    said["hint"] = _words(error.hint, tmp_path)
    known = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if os.environ.get("YOLOTRT_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps({**known, name: said}, indent=1, sort_keys=True) + "\n")
        return
    assert said == known[name]


def test_the_drawing_of_the_tree_is_right() -> None:
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    depth_of: dict[int, tuple[str, int]] = {0: ("YoloTrtError", 1)}
    drawn = {}
    for line in drawing.splitlines()[1:]:
        match = re.match(r"(?P<branch>[ │├└─]+)(?P<name>\w+)", line)
        assert match, line
        depth = (len(match["branch"]) - 4) // 4
        code = re.search(r"exit (\d)$", line)
        parent, inherited = depth_of[depth - 1]
        depth_of[depth] = (match["name"], int(code[1]) if code else inherited)
        drawn[match["name"]] = (parent, depth_of[depth][1])
    classes = {name: kind for name, kind in _classes().items() if name in drawn}
    assert drawn == {name: (kind.__bases__[0].__name__, kind.exit_code) for name, kind in classes.items()}
    assert set(_classes()) - set(drawn) == {"TransferFailed"}  # leaves only as DownloadError's special case


@pytest.mark.parametrize("name", RAISERS)
def test_the_command_line_shows_a_line_a_hint_and_the_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    error = _raised(name, tmp_path, monkeypatch)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("yolotrt.cli.app.application", lambda _verb: fail)
    done = cli("doctor")
    assert done.code == error.exit_code
    assert done.err.splitlines()[0] == f"error: {error.message}".splitlines()[0]
    assert ("hint:  " in done.err) == (error.hint is not None)
    assert "Traceback" not in done.err
    assert done.out == ""


def test_names_from_files_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtifactError("class \x1b]0;title\x07 \x1b[2J is unknown", hint="line\r\x9b31m")

    monkeypatch.setattr("yolotrt.cli.app.application", lambda _verb: fail)
    shown = cli("doctor").err
    assert not set(shown) & {"\x1b", "\x07", "\r", "\x9b"}
    assert "\\x1b[2J" in shown


def test_anything_else_is_a_bug_with_its_traceback_and_where_to_report_it(tmp_path: Path) -> None:
    code = (
        "import sys; from yolotrt.cli import app\n"
        "def broken(*_, **__): return 1 // 0\n"
        "app.application = lambda _verb: broken; sys.argv = ['yolotrt', 'doctor']; app.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.rstrip().endswith("yolotrt doctor --json -")
    assert done.stdout == ""
