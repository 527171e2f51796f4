"""The kernels compile for every GPU that the project names, without a GPU, and are kept on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolotrt.cuda import compile as cuda_compile
from yolotrt.cuda.compile import ARCHITECTURES, compile_source, compiled
from yolotrt.errors import BuildError

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC: pip install -e '.[cuda]'")

VARIANTS = [
    ("prepare", {"HALF": 0}),
    ("prepare", {"HALF": 1}),
    ("prepare_yuv", {"HALF": 0, "WIDE": 0}),
    ("prepare_yuv", {"HALF": 1, "WIDE": 1}),
    ("candidates", {"HALF": 0}),
    ("candidates", {"HALF": 1}),
    ("masks", {"HEAD_HALF": 0, "PROTO_HALF": 0}),
    ("masks", {"HEAD_HALF": 0, "PROTO_HALF": 1}),
    ("masks", {"HEAD_HALF": 1, "PROTO_HALF": 1}),
    ("merge", {}),
    ("gather", {}),
]


@pytest.fixture(autouse=True)
def _needs_nvrtc() -> None:
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError:
        pytest.skip("NVRTC: pip install nvidia-cuda-nvrtc")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_compiles_ahead_of_time(arch: str, tmp_path: Path) -> None:
    # All variants for the newest, one of each kernel file for the others.
    variants = VARIANTS if arch == ARCHITECTURES[-1] else [*VARIANTS[1::2], VARIANTS[-1]]
    for name, defines in variants:
        cubin = compiled(name, arch, defines, tmp_path)
        assert cubin[:4] == b"\x7fELF"


def test_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled("prepare", "sm_90", {"HALF": 0}, tmp_path)
    assert len(list(tmp_path.glob("*.cubin"))) == 1
    monkeypatch.setattr(cuda_compile, "compile_source", lambda *_: pytest.fail("compiled again"))
    assert compiled("prepare", "sm_90", {"HALF": 0}, tmp_path) == first


@pytest.mark.parametrize(
    ("arch", "defines", "source"),
    [("sm_80", {"HALF": 0}, ""), ("sm_90", {"HALF": 1}, ""), ("sm_90", {"HALF": 0}, "// changed\n")],
)
def test_anything_that_matters_compiles_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arch: str,
    defines: dict[str, int],
    source: str,
) -> None:
    compiled("prepare", "sm_90", {"HALF": 0}, tmp_path)
    changed = cuda_compile.kernel_source("prepare") + source
    monkeypatch.setattr(cuda_compile, "kernel_source", lambda name: changed)
    compiled("prepare", arch, defines, tmp_path)
    assert len(list(tmp_path.glob("*.cubin"))) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert compiled("prepare", "sm_90", {"HALF": 0}, tmp_path / "file")


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled("prepare", "sm_90", {"HALF": 0})
    assert list((tmp_path / "yolotrt" / "kernels").glob("prepare-sm_90-*.cubin"))


def test_a_mistake_in_a_kernel_is_one_clear_error() -> None:
    with pytest.raises(BuildError, match=r"broken\.cu do not compile.*error") as error:
        compile_source("__global__ void k() { nonsense }", "broken.cu", ("-arch=sm_90",))
    assert "\n" not in error.value.message


def test_an_unknown_gpu_is_one_clear_error() -> None:
    with pytest.raises(BuildError, match="sm_10"):
        compile_source("", "empty.cu", ("-arch=sm_10",))
