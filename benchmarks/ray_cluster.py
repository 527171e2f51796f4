"""A Ray cluster of one machine for benchmarks: started, searched for workers, killed as a whole."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# Ray makes workers nicer by 15, so that on a busy machine they would wait for those of everybody else.
os.environ.setdefault("RAY_worker_niceness", "0")


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        address: Where drivers connect.
        folder: Its files.
    """

    address: str
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """Return all processes of it, and of no other."""
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self.folder) in word for word in process.cmdline()):
                    found += [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        me = os.getpid()
        return [process for process in dict.fromkeys(found) if process.pid != me]

    def workers(self) -> list[psutil.Process]:
        """Return the processes of actors that compute shards."""
        return [process for process in self.processes() if _title(process).startswith("ray::Hand")]

    def kill(self) -> int:
        """Kill everything (SIGKILL), remove its files; return how many processes that were."""
        count = 0
        while found := self.processes():
            for process in found:
                try:
                    process.send_signal(signal.SIGKILL)
                    count += 1
                except psutil.Error:
                    continue
            psutil.wait_procs(found, timeout=5)
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
        return count


def start(cpus: int, attempts: int = 3) -> Cluster:
    """Start a cluster; its files are in a new folder with a short name, for sockets have no long ones.

    Ray gives its parts 30 s to start, which a busy machine may not have.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}"]
    options = [f"--num-cpus={cpus}", "--include-dashboard=false", "--disable-usage-stats"]
    options += ["--node-ip-address=127.0.0.1", f"--temp-dir={folder}", "--object-store-memory=100000000"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode and attempts > 1:
        Cluster("", folder).kill()
        return start(cpus, attempts - 1)
    if done.returncode:
        raise SystemExit(f"Ray does not start: {done.stdout[-800:]}{done.stderr[-800:]}")
    return Cluster(f"127.0.0.1:{port}", folder)


@contextmanager
def running(cpus: int) -> Iterator[Cluster]:
    """Give a cluster for a block."""
    cluster = start(cpus)
    try:
        yield cluster
    finally:
        cluster.kill()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
