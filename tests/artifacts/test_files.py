from __future__ import annotations

import fcntl
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yolotrt.artifacts.files import atomic_target, exclusive, require_file, scratch_folder, write_bytes
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


WRITER = """
import sys, time
from pathlib import Path
from yolotrt.artifacts.files import atomic_target, scratch_folder
target = Path(sys.argv[1])
with atomic_target(target) as part, scratch_folder(target) as folder:
    part.write_bytes(b"half")
    (folder / "inside").touch()
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""


def _writing(target: Path, *prefix: str) -> subprocess.Popen[bytes]:
    """Return a process that is in the middle of writing ``target``, with a folder for its work beside it."""
    begun = target.with_name("begun")
    writer = subprocess.Popen([*prefix, sys.executable, "-c", WRITER, str(target), str(begun)])
    while not begun.exists():
        assert writer.poll() is None
        time.sleep(0.01)
    begun.unlink()
    return writer


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".part" in path.name]


def test_what_a_living_writer_is_at_stays_and_what_a_dead_one_left_goes(tmp_path: Path) -> None:
    target = tmp_path / "file"
    (tmp_path / f".file.{os.getpid()}-00000000.part").write_bytes(b"left by an earlier version")
    writer = _writing(target)
    try:
        write_bytes(target, b"whole")
        assert len(_parts(tmp_path)) == 2, "the file and the folder of the writer that lives"
    finally:
        writer.kill()
        writer.wait()
    write_bytes(target, b"whole")
    assert not _parts(tmp_path)


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urpf", "true"], capture_output=True).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="process namespaces are not allowed here",
)
def test_a_writer_in_another_container_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Its process numbers mean nothing here, and ours nothing there."""
    writer = _writing(tmp_path / "file", "unshare", "-Urpf", "--kill-child")
    try:
        write_bytes(tmp_path / "file", b"whole")
        assert len(_parts(tmp_path)) == 2
    finally:
        writer.kill()
        writer.wait()


def test_a_writer_whose_new_file_was_taken_for_left_behind_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a file and locking it, a cleaner may come by."""
    lock = fcntl.flock
    seen: list[int] = []

    def cleaner_first(handle: int, how: int) -> None:
        seen.append(handle)
        if len(seen) == 1:
            _parts(tmp_path)[0].unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", cleaner_first)
    assert write_bytes(tmp_path / "file", b"whole").read_bytes() == b"whole"
    assert len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "n" * 253])
def test_a_name_as_long_as_the_file_system_allows_is_written_and_locked(tmp_path: Path, name: str) -> None:
    with exclusive(tmp_path / name, print), scratch_folder(tmp_path / name):
        write_bytes(tmp_path / name, b"x")
        assert max(len(os.fsencode(path.name)) for path in tmp_path.iterdir() if path.name != name) <= 143
    assert not _parts(tmp_path)


def test_long_names_that_differ_at_their_end_have_locks_of_their_own(tmp_path: Path) -> None:
    with exclusive(tmp_path / ("n" * 200 + "1"), print), exclusive(tmp_path / ("n" * 200 + "2"), print, 0):
        pass


@pytest.mark.parametrize("name", ["n" * 256, "d/" * 2500 + "x"])
def test_a_name_that_is_too_long_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="too long"):
        write_bytes(tmp_path / name, b"x")
    with pytest.raises(StorageError, match="too long"), exclusive(tmp_path / name, print):
        write_bytes(tmp_path / name, b"x")
    with pytest.raises(InputError, match="too long"):
        require_file(tmp_path / name, "an engine")


def test_a_lock_that_is_held_can_be_refused_at_once(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "r.json", print) as waited,
        pytest.raises(StorageError, match="Another process is writing"),
        exclusive(tmp_path / "r.json", print, timeout_s=0),
    ):
        pass
    assert not waited


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
