from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from yolotrt.artifacts.files import atomic_target, exclusive, require_file, write_bytes
from yolotrt.errors import InputError, StorageError


def test_write_replaces_and_leaves_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    write_bytes(target, b"one")
    write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["file.bin"]


def test_a_failing_block_keeps_the_old_content(tmp_path: Path) -> None:
    target = write_bytes(tmp_path / "file", b"old")

    def fail() -> None:
        with atomic_target(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_clear_error_and_nothing_remains(tmp_path: Path) -> None:
    target = write_bytes(tmp_path / "file", b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from yolotrt.artifacts.files import write_bytes\n"
        "from yolotrt.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes(Path(sys.argv[1]), b'x' * 5000)\n"
        "except StorageError as exc: print(exc.message)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True)
    assert "Cannot write" in done.stdout, done.stderr
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_leftovers_of_dead_writers_are_removed(tmp_path: Path) -> None:
    dead = tmp_path / ".file.99999999-00000000.part"
    alive = tmp_path / f".file.{os.getppid()}-00000000.part"
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    write_bytes(tmp_path / "file", b"whole")
    assert not dead.exists()
    assert alive.exists()


def test_a_directory_as_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="directory"):
        write_bytes(tmp_path, b"x")


def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot write"):
        write_bytes(tmp_path / "a" / "b", b"x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_where_no_folder_can_be_made_is_a_clear_error() -> None:
    with pytest.raises(StorageError, match="permission denied"):
        write_bytes(Path("/proc/nowhere/file"), b"x")


@pytest.mark.parametrize("what", ["missing", "directory"])
def test_require_file_names_the_problem(tmp_path: Path, what: str) -> None:
    path = tmp_path if what == "directory" else tmp_path / "no"
    with pytest.raises(InputError, match="directory" if what == "directory" else "does not exist"):
        require_file(path, "an engine")


def _hold(target: Path, ready: str, seconds: float) -> None:
    import time

    with exclusive(target, print):
        Path(ready).touch()
        time.sleep(seconds)


def test_a_second_process_waits_and_says_so(tmp_path: Path) -> None:
    target, ready = tmp_path / "engine", tmp_path / "ready"
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(target, str(ready), 0.6))
    holder.start()
    while not ready.exists():
        holder.join(0.01)
    said: list[str] = []
    with exclusive(target, said.append):
        pass
    holder.join()
    assert said
    assert "waiting" in said[0]


def test_the_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
    target, ready = tmp_path / "engine", tmp_path / "ready"
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(target, str(ready), 60))
    holder.start()
    while not ready.exists():
        holder.join(0.01)
    holder.kill()
    holder.join()
    said: list[str] = []
    with exclusive(target, said.append):
        pass
    assert not said


def test_giving_up_on_a_lock_names_the_file(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "engine", print),
        pytest.raises(StorageError, match="engine has been locked"),
        exclusive(tmp_path / "engine", lambda _m: None, timeout_s=0.05),
    ):
        pass
