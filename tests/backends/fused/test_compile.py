"""Machine code for GPUs that are not here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

import yolotrt.backends.fused.assemble as assembling
from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.test_planner import planned
from yolotrt.backends.base import BuildConfig
from yolotrt.backends.fused.arguments import WeightsBlob
from yolotrt.backends.fused.assemble import MOST_TRIED
from yolotrt.backends.fused.backend import FusedBackend
from yolotrt.backends.fused.compile import TARGETS, Compiler
from yolotrt.backends.fused.compile_process import SHARED_LIMITS, CompileProcess
from yolotrt.backends.fused.frame_stem import frame_stems
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.resources import resources
from yolotrt.backends.fused.steps import Conv, Depthwise, Stem
from yolotrt.backends.fused.tiles import candidates
from yolotrt.backends.fused.variants import Code, Variant, variant_of
from yolotrt.backends.profiles import Profile
from yolotrt.errors import BuildError, EnvironmentFault, UsageError
from yolotrt.model.onnxfile import read_spec
from yolotrt.progress import no_progress

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton (the fused extra)")


def variants() -> list[Variant]:
    network = planned(yolo(Shape(bins=16)))
    launcher = Launcher(network, WeightsBlob())
    stems = frame_stems(network)[::2]  # all that the one for prepared input does, and more
    fused = next(s for s in network.steps if isinstance(s, Conv) and s.kernel == 3 and s.point)
    return [variant_of(launcher.launch(s, candidates(s, 8)[0])) for s in (fused, *stems)]


ODD = Variant("no_such_kernel", (), (), (), 1, 1, 0)


def test_what_the_compiler_prints_reaches_nobody() -> None:
    code = """
import os
from yolotrt.backends.fused.compile_process import _silent
replies = _silent()
print("reproducer", flush=True)
os.system("echo assembly; echo error >&2")
replies.write(b"reply")
replies.flush()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"reply", b"")


def test_a_script_that_compiles_is_not_started_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
from yolotrt.backends.fused.compile import compile_all
from yolotrt.backends.fused.variants import Variant
from yolotrt.errors import BuildError
print("started")
try:
    compile_all([({ODD!r}, "sm_90")])
except BuildError as exc:
    print(exc)
""")
    (here := tmp_path / "here").mkdir()
    (here / "json.py").write_text("raise SystemExit('what lies in the working folder was imported')")
    done = subprocess.run([sys.executable, script], capture_output=True, check=True, text=True, cwd=here)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "started"
    assert "no_such_kernel for sm_90 (AttributeError" in second


def test_a_compiler_that_is_killed_is_said_and_replaced() -> None:
    with Compiler() as compiler:
        process = CompileProcess()
        compiler._idle.append(process)
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(BuildError, match=r"no_such_kernel for sm_90 \(the compiler ended: -9\)"):
            compiler.all([(ODD, "sm_90")])
        assert compiler._idle == []
        assert compiler.all([(ODD, "sm_86")], lenient=True) == {}
        assert [other.ended for other in compiler._idle] == [False]


def test_kernels_compile_for_every_target_and_fit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    fused, stem, yuv = variants()
    targets = ("sm_80", "sm_86", "sm_89", "sm_120")
    tasks = [(fused, target) for target in targets]
    tasks += list(zip((stem, yuv, stem, yuv), targets, strict=True))
    seen: list[tuple[int, int]] = []
    with Compiler() as compiler:
        codes = compiler.all(tasks, lambda done, count: seen.append((done, count)))
        assert compiler.all([*tasks[:1], *tasks[:1]]) == {tasks[0]: codes[tasks[0]]}
    assert set(codes) == set(tasks)
    assert seen[-1] == (len(tasks), len(tasks)), "nothing is compiled twice"
    for (variant, target), code in codes.items():
        assert code.cubin[:4] == b"\x7fELF"
        assert code.name == variant.kernel
        assert code.threads == 32 * variant.warps
        assert code.shared <= SHARED_LIMITS[target] * 1024
        registers, spilled = resources(code.cubin)
        assert 0 < registers <= 255
        assert spilled == 0
    with pytest.raises(OSError, match="cuobjdump"):
        resources(b"no machine code")


def test_by_rule_numbers_fit_into_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    network, found = planned(yolo()), {}
    step = next(s for s in network.steps if isinstance(s, Conv) and len(candidates(s, 8)) > MOST_TRIED)
    stacks = {"conv": [8, 0, 0, 0], "stem": [9, 5, 7, 3, 4], "depthwise": []}  # of a step's tiles

    def compiled(wanted: list[tuple[Variant, str]], *_: object, **__: object) -> dict:
        for variant, target in wanted:
            stacked = stacks.get(variant.kernel, [0])
            turn = sum(other.kernel == variant.kernel for other, _ in found)
            if stacked:
                found[variant, target] = Code(
                    b"", variant.kernel, 32, 0, stacked[min(turn, len(stacked) - 1)]
                )
        return found

    monkeypatch.setattr(assembling, "compile_all", compiled)
    for kind, number in ((Conv, 1), (Stem, 3), (Depthwise, None)):
        of_kind = step if kind is Conv else next(s for s in network.steps if type(s) is kind)
        alone = replace(network, steps=[of_kind])
        monkeypatch.setattr(assembling, "every_step", lambda network: network.steps)
        plans: dict = {}
        launcher = Launcher(alone, WeightsBlob())
        found.clear()
        if number is None:
            with pytest.raises(BuildError, match="No kernel"):
                assembling.plausible(alone, launcher, [("sm_90", 8)], plans, {}, no_progress)
            continue
        assembling.plausible(alone, launcher, [("sm_90", 8)], plans, {}, no_progress)
        tiles = candidates(of_kind, 8)
        assert plans["sm_90", 8] == [launcher.launch(of_kind, tiles[number])]


def test_the_same_kernel_of_two_layers_is_compiled_once() -> None:
    network = planned(yolo())
    launcher = Launcher(network, WeightsBlob())
    launches = [launcher.launch(s, candidates(s, 8)[0]) for s in network.steps]
    assert len({variant_of(launch) for launch in launches}) < len(launches)
    assert len({variant_of(launch).key for launch in launches}) == len({variant_of(x) for x in launches})


def test_equal_weights_are_stored_once() -> None:
    weights = WeightsBlob()
    a, b = weights.add(np.ones(5, np.float16)), weights.add(np.ones(5, np.float16))
    c = weights.add(np.zeros(300, np.float32))
    assert a == b
    assert a.fixed % 256 == c.fixed % 256 == 0
    assert len(weights.data()) % 256 == 0


def config(**changes: object) -> BuildConfig:
    spec = read_spec(yolo(), "mini")
    given: dict = {"spec": spec, "profiles": (Profile.fixed(1),), "precision": "fp16",
                   "compute_capabilities": ("sm_120",)}  # fmt: skip
    return BuildConfig(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"precision": "fp32"}, "not FP32"),
        ({"precision": "fp8"}, "not FP8"),
        ({"version_compatible": True}, "--version-compatible"),
        ({"hardware_compatible": True}, "--hardware-compatible"),
        ({"compute_capabilities": ("sm_75",)}, "sm_75"),
        ({"compute_capabilities": ("big",)}, "'big'"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        FusedBackend().check(config(**changes))
    assert caught.value.hint


@pytest.mark.parametrize("text", ["sm_120", "SM120", "120", "12.0"])
def test_targets_are_read_as_people_write_them(text: str) -> None:
    found = FusedBackend().environment(config(compute_capabilities=(text, "sm_86")))
    assert found["targets"] == "SM120,SM86"
    assert {t.upper() for t in TARGETS} >= {"SM_120", "SM_86"}


def test_a_fixed_batch_is_refused() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(yolo())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(UsageError, match="exactly 4"):
        FusedBackend().check(config(spec=read_spec(model, "mini")))


def test_kernels_are_timed_anew_only_on_a_gpu_that_the_engine_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match="no GPU here to time kernels on") as caught:
        FusedBackend().check(config(retune=True))
    assert "--retune" in str(caught.value.hint)
    info = SimpleNamespace(name="Some GPU", arch="sm_90")
    monkeypatch.setattr("yolotrt.backends.fused.backend._device", lambda: SimpleNamespace(info=info))
    with pytest.raises(
        EnvironmentFault, match=r"for sm_120, and the GPU here \(Some GPU\) is sm_90"
    ) as caught:
        FusedBackend().check(config(retune=True))
    assert "--targets sm_120,sm_90" in str(caught.value.hint)
    FusedBackend().check(config(retune=True, compute_capabilities=("sm_90",)))
