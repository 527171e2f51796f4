"""Open load on ``yolotrt serve``, over the loopback: callers come whether the last were served or not.

First the capacity is measured: as many callers as the replica works on at once, each calling again as soon
as it has its answer. Then pictures arrive at random (exponential gaps) at 80 % and at 200 % of it, and after
that it is watched how long it takes until answers come as before.

    python -m benchmarks.service_load [--seconds 600] [--over 60] [--json FILE]     (extra serve)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.batch_world import make_world
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment

AT_ONCE, QUEUE = 2, 8
RECOVERED_WITHIN_S = 30.0


@dataclass
class LoadPhase:
    """What callers saw.

    Attributes:
        rate: Pictures in a second that came.
        seconds: For how long.
        answers: Answers by HTTP status; 0 for none.
        p50_s: Median time of those that were served, seconds.
        p99_s: Their 99th percentile.
        memory_mib: Resident set of the replica at the beginning, every tenth of the time, and at the end.
    """

    rate: float
    seconds: float
    answers: dict[str, int] = field(default_factory=dict)
    p50_s: float | None = None
    p99_s: float | None = None
    memory_mib: list[float] = field(default_factory=list)


class Caller:
    """Sends pictures and keeps what came back."""

    def __init__(self, url: str, pictures: list[bytes]) -> None:
        self._url, self._pictures = url, pictures
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
        self._client = httpx.AsyncClient(limits=limits, timeout=60.0, trust_env=False)
        self._answers: Counter[str] = Counter()
        self._served: list[float] = []

    async def call(self, index: int) -> int:
        """Send a picture; return the status, 0 for no answer."""
        begin = time.perf_counter()
        try:
            data = self._pictures[index % len(self._pictures)]
            code = (await self._client.post(f"{self._url}/detect", content=data)).status_code
        except httpx.HTTPError:
            code = 0
        self._answers[str(code)] += 1
        if code == 200:
            self._served.append(time.perf_counter() - begin)
        return code

    async def memory_mib(self) -> float:
        """Return the resident set of the replica."""
        text = (await self._client.get(f"{self._url}/metrics")).text
        found = re.search(r"^yolotrt_memory_bytes (\S+)", text, re.MULTILINE)
        return round(float(found[1]) / 2**20, 1) if found else 0.0

    async def capacity(self, seconds: float) -> float:
        """Return pictures in a second with as many callers as are worked on at once."""
        until = time.perf_counter() + seconds

        async def again(first: int) -> int:
            count = 0
            while time.perf_counter() < until:
                count += await self.call(first + count) == 200
            return count

        return sum(await asyncio.gather(*(again(k) for k in range(AT_ONCE)))) / seconds

    async def phase(self, rate: float, seconds: float, seed: int) -> LoadPhase:
        """Let pictures come at random."""
        self._answers.clear()
        self._served.clear()
        draw, found = random.Random(seed), LoadPhase(round(rate, 3), seconds)
        found.memory_mib.append(await self.memory_mib())
        begin, due, count, waiting = time.perf_counter(), 0.0, 0, set[asyncio.Task[int]]()
        looks = [seconds * k / 10 for k in range(1, 10)]
        while due < seconds:
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            waiting.add(task := asyncio.create_task(self.call(count)))
            task.add_done_callback(waiting.discard)
            count += 1
            due += draw.expovariate(rate)
            if looks and due > looks[0]:
                looks.pop(0)
                found.memory_mib.append(await self.memory_mib())
        await asyncio.gather(*waiting)
        found.memory_mib.append(await self.memory_mib())
        found.answers = dict(sorted(self._answers.items()))
        if self._served:
            found.p50_s, found.p99_s = (round(float(v), 4) for v in np.percentile(self._served, [50, 99]))
        return found

    async def recovery(self, usual_s: float) -> float | None:
        """Return after how many seconds an answer comes as before; None if it does not."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < RECOVERED_WITHIN_S:
            sent = time.perf_counter()
            if await self.call(0) == 200 and time.perf_counter() - sent < 3 * usual_s:
                return round(time.perf_counter() - begin, 3)
            await asyncio.sleep(0.1)
        return None


async def measure(url: str, pictures: list[bytes], seconds: float, over: float) -> dict[str, object]:
    caller = Caller(url, pictures)
    await caller.capacity(5.0)  # contexts and threads are made
    capacity = await caller.capacity(20.0)
    print(f"capacity: {capacity:.1f} pictures/s", flush=True)
    under = await caller.phase(0.8 * capacity, seconds, 1)
    print(f"80 %: {under}", flush=True)
    above = await caller.phase(2.0 * capacity, over, 2)
    print(f"200 %: {above}", flush=True)
    recovery = await caller.recovery(under.p50_s or 1.0)
    print(f"recovered after {recovery} s", flush=True)
    return {"capacity": round(capacity, 3), "phases": [asdict(under), asdict(above)], "recovered_s": recovery}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="At 80 %%.")
    parser.add_argument("--over", type=float, default=60.0, help="Seconds at 200 %%.")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        world = make_world(Path(name), 20)
        pictures = [path.read_bytes() for path in sorted(world.pictures.iterdir())]
        command = [sys.executable, "-m", "yolotrt", "serve", str(world.engine), "--port", str(port)]
        options = ["--at-once", str(AT_ONCE), "--queue", str(QUEUE)]
        server = subprocess.Popen([*command, *options])
        try:
            _wait(server, f"http://127.0.0.1:{port}/readyz")
            found = asyncio.run(measure(f"http://127.0.0.1:{port}", pictures, chosen.seconds, chosen.over))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
    if chosen.json:
        about = {
            "at_once": AT_ONCE,
            "queue": QUEUE,
            "environment": as_values(environment(os.cpu_count() or 1)),
        }
        write_text(chosen.json, json.dumps({**about, **found}, indent=1) + "\n")


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if server.poll() is not None:
            raise SystemExit("the service ended")
        try:
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit("the service is not ready after 300 s")


if __name__ == "__main__":
    main()
