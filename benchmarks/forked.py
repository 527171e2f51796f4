"""Run yolotrt commands as processes that start at once: forked from one that has imported what they need.

    python -m benchmarks.forked MODULE...    (used by benchmarks.kills and tests; reads one command per line)

Importing torch takes ten times as long as exporting a small network. A command forked here is a process of
its own in every respect, and all of its time is work.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

LIMIT_S = 300.0


@dataclass(frozen=True)
class Kill:
    """When a command is killed.

    Attributes:
        after_s: Seconds from its start, or from the first temporary file.
        writing: It is the first temporary file that counts. The command sees itself open it: from outside,
            a small file would be there and gone between two looks.
    """

    after_s: float
    writing: bool = False


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (negative: the signal) and what it printed."""

    code: int
    stdout: str
    stderr: str


class StartedCommand:
    """A command that was started.

    Args:
        printed: Files with what it prints, to standard output and to standard error.
        status: A pipe from which come its process id and, when it ends, its exit code.
    """

    def __init__(self, printed: tuple[Path, Path], status: Path) -> None:
        self._printed = printed
        self._status = status.open()
        status.unlink()
        self.pid = int(self._status.readline())
        self._code: int | None = None

    @property
    def printed(self) -> str:
        """What it has printed to standard output by now."""
        return self._printed[0].read_text(errors="replace")

    @property
    def said(self) -> str:
        """What it has printed to standard error by now."""
        return self._printed[1].read_text(errors="replace")

    def ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether it ends within a time."""
        if self._code is None and select.select([self._status], [], [], timeout_s)[0]:
            self._code = int(self._status.readline())
            self._status.close()
        return self._code is not None

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.ended():
            os.kill(self.pid, number)

    def done(self, timeout_s: float = LIMIT_S) -> Done:
        """Wait for its end; kill it (SIGKILL) if that does not come in time."""
        if not self.ended(timeout_s):
            self.send(signal.SIGKILL)
            self.ended(LIMIT_S)
        assert self._code is not None, "killed, and still there"
        return Done(self._code, *(p.read_text() for p in self._printed))


class Commands:
    """Runs commands, each in a process of its own.

    Args:
        modules: What to import beforehand.
        outputs: Folder for what they print.
    """

    def __init__(self, modules: Sequence[str], outputs: Path) -> None:
        outputs.mkdir(parents=True, exist_ok=True)
        self._outputs = outputs
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.forked", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"  # imports are done

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[object], place: Path, kill: Kill | None = None) -> Done:
        """Run ``yolotrt ARGUMENTS`` in a folder, and kill it (SIGKILL) if asked to."""
        if kill and kill.writing:
            within = [f"{__name__}:die_writing", str(kill.after_s)]
            return self.start(arguments, place, within).done()
        return self.start(arguments, place).done(kill.after_s if kill else LIMIT_S)

    def start(
        self,
        arguments: Sequence[object],
        place: Path,
        within: Sequence[object] = (),
        env: Mapping[str, str] | None = None,
    ) -> StartedCommand:
        """Start ``yolotrt ARGUMENTS`` in a folder.

        Args:
            arguments: The command.
            place: Its current folder.
            within: A function, as ``module:name``, that the process calls before it runs the command, and
                the texts that it calls it with.
            env: Environment variables; those of this process if not given.
        """
        name = self._outputs / str(next(self._numbers))
        status, printed = name.with_suffix(".status"), (name.with_suffix(".out"), name.with_suffix(".err"))
        os.mkfifo(status)
        order = Order(
            str(status),
            [str(p) for p in printed],
            str(place),
            dict(os.environ if env is None else env),
            [str(w) for w in within],
            [str(a) for a in arguments],
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(vars(order)) + "\n")
        self._process.stdin.flush()
        return StartedCommand(printed, status)


@dataclass(frozen=True)
class Order:
    """A command as it is handed over."""

    status: str
    printed: list[str]
    place: str
    env: dict[str, str]
    within: list[str]
    arguments: list[str]


def main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    print("ready", flush=True)
    keepers = 0
    for line in sys.stdin:
        if os.fork() == 0:
            _keep(Order(**json.loads(line)))
        keepers += 1
        while keepers and os.waitpid(-1, os.WNOHANG)[0]:
            keepers -= 1


def _keep(order: Order) -> NoReturn:
    """Copy what a command prints into files and wait for its end, as its parent, while others are started."""
    pipes = [os.pipe() for _ in order.printed]
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, (_, end) in enumerate(pipes, 1):
            os.dup2(end, descriptor)
        for end in (end for ends in pipes for end in ends):
            os.close(end)
        _become(order)
    files = {}
    for path, (begin, end) in zip(order.printed, pipes, strict=True):
        files[begin] = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.close(end)
    with open(order.status, "w", buffering=1) as told:
        told.write(f"{child}\n")
        while files:
            for pipe in select.select(list(files), [], [])[0]:
                text = os.read(pipe, 1 << 16)
                os.write(files[pipe], text) if text else os.close(files.pop(pipe))
        told.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    os._exit(0)


def is_temporary(name: str) -> bool:
    """Return whether a file or folder has one of the names under which yolotrt writes."""
    return name.endswith(".next") or ".part" in Path(name).suffixes[-2:]


def die_writing(then_s: str) -> None:
    """Let this process be killed so many seconds after it has opened its first temporary file."""
    pid, timers = os.getpid(), list[threading.Timer]()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or timers:
            return
        path, mode, _ = arguments  # no mode: os.open, by which a folder is tried and a file flushed to disk
        if set(str(mode or "r")) & set("wax+") and any(map(is_temporary, Path(str(path)).parts)):
            timers.append(threading.Timer(float(then_s), os.kill, (pid, signal.SIGKILL)))
            timers[0].start()

    sys.addaudithook(hook)


def _become(order: Order) -> NoReturn:
    code = 1
    try:
        os.chdir(order.place)
        os.environ.clear()
        os.environ.update(order.env)
        if order.within:
            module, _, function = order.within[0].partition(":")
            getattr(importlib.import_module(module), function)(*order.within[1:])
        from yolotrt.cli import app

        sys.argv = ["yolotrt", *order.arguments]
        app.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
