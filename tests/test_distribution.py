"""The distribution has a name that nobody else has, and no message or page leads to somebody else's."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import yolotrt
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from yolotrt import distribution
from yolotrt.distribution import NAME, changed_files, install_hint, rivals

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(yolotrt.__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CODE = [path for room in ("yolotrt", "benchmarks", "tools", "tests") for path in (ROOT / room).rglob("*.py")]
PAGES = [
    path
    for room in (".", "benchmarks/results", "engines", "calib_data")
    for path in (ROOT / room).glob("*.md")
]
SCRIPTS = [ROOT / "Makefile", *(ROOT / ".ci").glob("*"), *(ROOT / ".github" / "workflows").glob("*")]
TEXTS = sorted([*CODE, *PAGES, *SCRIPTS])
INSTALL = re.compile(r"(?:pip[\"']?,? [\"']?)install\b([^\n`\\]*)")


def _installs(path: Path) -> Iterator[list[str]]:
    """Yield the arguments of every ``pip install`` that a file names."""
    for found in INSTALL.finditer(path.read_text()):
        yield re.findall(r"[^\s'\",;()]+", found[1].partition("#")[0].partition("&&")[0])


def test_the_name_is_that_of_the_project_and_not_the_taken_one() -> None:
    assert PROJECT["name"] == NAME != "yolotrt"
    own = [r for packages in EXTRAS.values() for r in packages if r.startswith("yolotrt")]
    for requirement in own:
        found = re.fullmatch(rf"{NAME}\[([\w-]+)\]", requirement)
        assert found, requirement
        assert found[1] in EXTRAS


def test_every_pip_install_names_what_there_is() -> None:
    seen = 0
    for path in TEXTS:
        if path == Path(__file__):
            continue
        for words in _installs(path):
            for word in words:
                seen += 1
                assert not re.match(r"yolotrt\b", word), f"{path}: {word} is not in the index, or not ours"
                if local := re.fullmatch(r"\.\[([\w,-]+)\]", word):
                    assert set(local[1].split(",")) <= set(EXTRAS), f"{path}: {word}"
    assert seen > 30


def test_every_hint_names_an_extra_that_there_is() -> None:
    named = set()
    for path in (ROOT / "yolotrt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "install_hint":
                (extra,) = node.args
                named.add(extra.value if isinstance(extra, ast.Constant) else None)
    extras = {"cuda", "export", "fused", "parquet", "pycuda", "ray", "serve", "track", "video-gpu"}
    assert extras | {None} == named
    from yolotrt.backends.tensorrt.library import TENSORRT, TENSORRT_RTX  # what the one without a literal is

    assert {TENSORRT.backend, TENSORRT_RTX.backend} <= set(EXTRAS)


def test_in_a_checkout_a_hint_works_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert install_hint("cuda") == "pip install -e '.[cuda]'"
    monkeypatch.chdir(tmp_path)
    assert install_hint("cuda") == f"cd {shlex.quote(str(ROOT))} && pip install -e '.[cuda]'"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in which ours is installed as a wheel would be."""
    place = tmp_path / "site-packages"
    wanted = [f"{package.split('#')[0]}; extra == '{extra}'" for extra in EXTRAS for package in EXTRAS[extra]]
    _install(place, NAME, "0.1.0", ["yolotrt/__init__.py", "yolotrt/text.py"], wanted)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(distribution, "_FOLDER", place / "yolotrt")
    return place


def _install(place: Path, name: str, version: str, files: list[str], wanted: list[str] | None = None) -> None:
    lines = []
    for file in files:
        path = place / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {file} of {name}\n")
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{path.stat().st_size}")
    info = place / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    requires = "".join(f"Requires-Dist: {line}\n" for line in wanted or [])
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    (info / "RECORD").write_text(
        "\n".join([*lines, f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]) + "\n"
    )


@pytest.mark.parametrize("extra", ["cuda", "tensorrt", "tensorrt-rtx", "pycuda", "export"])
def test_beside_a_wheel_a_hint_names_the_packages(installed: Path, extra: str) -> None:
    words = shlex.split(install_hint(extra))
    assert words[:2] == ["pip", "install"]
    inner = [r for r in EXTRAS[extra] if not r.startswith(NAME)]
    if f"{NAME}[cuda]" in EXTRAS[extra]:
        inner += EXTRAS["cuda"]
    assert words[2:] == inner


def test_a_rival_and_what_it_replaced_are_named(cli: Cli, installed: Path) -> None:
    assert changed_files() == []
    _install(installed, "someone-else", "2.0", ["other/__init__.py"])
    _install(installed, "YoloTRT", "1.0.0", ["yolotrt/__init__.py"])
    _install(installed, "fork", "3", ["yolotrt/x.py"])
    (installed / "yolotrt" / "text.py").unlink()
    assert {"yolotrt 1.0.0", "fork 3"} <= set(rivals())
    assert not {entry for entry in rivals() if entry.startswith(("someone", NAME))}
    assert changed_files() == ["yolotrt/__init__.py", "yolotrt/text.py"]
    done = cli("doctor", "--json", "d.json")
    assert done.code == 0, done.err
    assert "the distribution yolotrt 1.0.0 claims the package yolotrt, too" in done.err
    assert "of yolotrt's files, 2 are not as they were installed" in done.err
    assert set(rivals()) == set(json.loads(Path("d.json").read_text())["distribution"]["rivals"])


def test_the_version_is_said_once() -> None:
    done = subprocess.run([sys.executable, "-m", "yolotrt", "--version"], capture_output=True, text=True)
    assert done.stdout == f"yolotrt {yolotrt.__version__}\n"
