"""Open load on ``yolotrt serve``, over the loopback: pictures come whether the last were served or not.

The service is a process tree of its own; the caller (aiohttp) is this process, and what it takes of a core is
recorded. Pictures are scenes of 640 x 480 for the demo network: a tile and the whole each.

* Capacity: as many callers as the replica works on at once, each calling again as soon as it has its answer,
  give an estimate. From there the rate of pictures at even intervals falls by 5 % at a time until every one
  is served and no more are waiting in the end than are worked on.
* Pictures at even intervals (as k6's constant arrival rate) at 80 % of it, then at 200 %; from the moment
  that these end, it is watched how long it takes until answers come as before. Then 80 % again.
* Pictures at random (exponential gaps, a Poisson process) at 80 %: recorded, and not held to the goals. Where
  one network serves, those that come in clusters queue, whatever serves them; for a service time that never
  varies, theory (M/D/1) has a p99 of five times the p50 then.

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
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

from benchmarks.batch_world import demo_world
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment

AT_ONCE, QUEUE = 2, 8
MOST_OPEN = 64
"""Pictures under way at most; further ones are not sent, and counted as dropped."""
RECOVERED_WITHIN_S = 5.0
IN_A_ROW = 5
"""Answers as before that make a recovery."""


@dataclass
class LoadPhase:
    """What callers saw.

    Attributes:
        arrival: How pictures came: ``even`` or ``random``.
        rate: How many of them in a second.
        seconds: For how long.
        answers: Answers by HTTP status; ``none`` for none, ``dropped`` for pictures that were not sent.
        p50_s: Median time of those that were served, seconds.
        p99_s: Their 99th percentile.
        left: Pictures that had no answer yet when the last one came.
        caller_cpu: Cores that the caller took.
        replica_mib: Resident set of the replica at the beginning, every tenth of the time, and at the end.
        service_mib: That of all processes of the service, with Ray's.
    """

    arrival: str
    rate: float
    seconds: float
    answers: dict[str, int] = field(default_factory=dict)
    p50_s: float = 0.0
    p99_s: float = 0.0
    left: int = 0
    caller_cpu: float = 0.0
    replica_mib: list[float] = field(default_factory=list)
    service_mib: list[float] = field(default_factory=list)

    @property
    def all_served(self) -> bool:
        """Whether every picture was."""
        return set(self.answers) == {"200"}


class Caller:
    """Sends pictures and keeps what came back."""

    def __init__(self, session: aiohttp.ClientSession, url: str, pictures: list[bytes], server: int) -> None:
        self._session, self._url, self._pictures = session, url, pictures
        self._server = psutil.Process(server)
        self._answers: Counter[str] = Counter()
        self._served: list[float] = []
        self._waiting: set[asyncio.Task[float | None]] = set()
        self.replicas: set[str] = set()

    async def call(self, index: int) -> float | None:
        """Send a picture; return how long it took to serve it, seconds, None if it was not served."""
        begin, code = time.perf_counter(), "none"
        data = self._pictures[index % len(self._pictures)]
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(f"{self._url}/detect", data=data) as answer:
                await answer.read()
                code = str(answer.status)
        self._answers[code] += 1
        if code != "200":
            return None
        self._served.append(took := time.perf_counter() - begin)
        return took

    async def closed(self, seconds: float) -> float:
        """Return pictures in a second with as many callers as are worked on at once."""
        until = time.perf_counter() + seconds

        async def again(first: int) -> int:
            count = 0
            while time.perf_counter() < until:
                count += await self.call(first + count) is not None
            return count

        return sum(await asyncio.gather(*(again(k) for k in range(AT_ONCE)))) / seconds

    async def capacity(self, seconds: float) -> float:
        """Return the highest rate, of those that are tried, at which every picture is served.

        Raises:
            SystemExit: There is none.
        """
        await self.closed(5.0)  # contexts and threads are made
        estimate = await self.closed(seconds)
        for percent in range(100, 30, -5):
            tried = await self.phase("even", estimate * percent / 100, seconds)
            await self.rest()
            print(f"{percent} % of {estimate:.2f}/s: {tried.answers}, {tried.left} left", flush=True)
            if tried.all_served and tried.left <= AT_ONCE:
                return tried.rate
        raise SystemExit("no rate is served in full")

    async def phase(self, arrival: str, rate: float, seconds: float) -> LoadPhase:
        """Let pictures come for a time, without waiting for the answers to the last ones."""
        self._answers, self._served = Counter(), []
        draw, found = random.Random(1), LoadPhase(arrival, round(rate, 3), seconds)
        await self._look(found)
        begin, cpu, due, count = time.perf_counter(), time.process_time(), 0.0, 0
        looks = [seconds * k / 10 for k in range(1, 10)]
        while due < seconds:
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            self._send(count)
            count += 1
            due += draw.expovariate(rate) if arrival == "random" else 1 / rate
            if looks and due > looks[0]:
                looks.pop(0)
                await self._look(found)
        found.left = len(self._waiting)
        found.caller_cpu = round((time.process_time() - cpu) / (time.perf_counter() - begin), 3)
        self._read(found)
        return found

    async def rest(self, found: LoadPhase | None = None) -> None:
        """Wait for the answers that are still to come, and count them to a phase."""
        await asyncio.gather(*self._waiting)
        if found is not None:
            await self._look(found)
            self._read(found)

    async def recovery(self, usual_s: float) -> float | None:
        """Return after how many seconds answers come as before, again and again; None if they do not."""
        begin, since, good = time.perf_counter(), 0.0, 0
        while time.perf_counter() - begin < 6 * RECOVERED_WITHIN_S:
            sent = time.perf_counter()
            took = await self.call(0)
            if took is None or took > 3 * usual_s:
                good = 0
            else:
                since, good = since if good else sent - begin, good + 1
            if good == IN_A_ROW:
                return round(since, 3)
            await asyncio.sleep(0.1)
        return None

    def _send(self, index: int) -> None:
        if len(self._waiting) >= MOST_OPEN:
            self._answers["dropped"] += 1
            return
        self._waiting.add(task := asyncio.create_task(self.call(index)))
        task.add_done_callback(self._waiting.discard)

    def _read(self, found: LoadPhase) -> None:
        found.answers = dict(sorted(self._answers.items()))
        if self._served:
            found.p50_s, found.p99_s = (round(float(v), 4) for v in np.percentile(self._served, [50, 99]))

    async def _look(self, found: LoadPhase) -> None:
        async with self._session.get(f"{self._url}/metrics") as answer:
            text = await answer.text()
        self.replicas |= set(re.findall(r'replica="([^"]+)"', text))
        said = re.search(r"^yolotrt_memory_bytes (\S+)", text, re.MULTILINE)
        found.replica_mib.append(round(float(said[1]) / 2**20, 1) if said else 0.0)
        whole = 0
        for process in (self._server, *self._server.children(recursive=True)):
            with suppress(psutil.Error):
                whole += process.memory_info().rss
        found.service_mib.append(round(whole / 2**20, 1))


async def measure(url: str, pictures: list[bytes], server: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Go through all phases."""
    connector = aiohttp.TCPConnector(limit=MOST_OPEN + 8)
    limit = aiohttp.ClientTimeout(total=60.0)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        caller = Caller(session, url, pictures, server)
        capacity = await caller.capacity(chosen.trial)
        under = await caller.phase("even", 0.8 * capacity, chosen.seconds)
        await caller.rest(under)
        print(f"80 %: {under}", flush=True)
        over = await caller.phase("even", 2.0 * capacity, chosen.over)
        recovery = await caller.recovery(under.p50_s)
        await caller.rest(over)
        print(f"200 %: {over}\nrecovered after {recovery} s", flush=True)
        after = await caller.phase("even", 0.8 * capacity, chosen.over)
        await caller.rest(after)
        print(f"80 % after it: {after}", flush=True)
        at_random = await caller.phase("random", 0.8 * capacity, chosen.over)
        await caller.rest(at_random)
        print(f"80 % at random: {at_random}", flush=True)
    phases = [asdict(phase) for phase in (under, over, after, at_random)]
    held = _held(under, over, after, recovery) | {"no replica was replaced": len(caller.replicas) == 1}
    return {"capacity": round(capacity, 3), "phases": phases, "recovered_s": recovery, "held": held}


def _held(under: LoadPhase, over: LoadPhase, after: LoadPhase, recovery: float | None) -> dict[str, bool]:
    tenth = 1  # what the first pictures need is made by then
    return {
        "80 %: every picture was served": under.all_served,
        "80 %: p99 within 3 times p50": under.p99_s <= 3 * under.p50_s,
        "80 %: memory of the replica within 5 %": under.replica_mib[-1] <= 1.05 * under.replica_mib[tenth],
        "80 %: memory of the service within 5 %": under.service_mib[-1] <= 1.05 * under.service_mib[tenth],
        "200 %: refused by rule, or served": set(over.answers) == {"200", "429"},
        "recovered within 5 s": recovery is not None and recovery <= RECOVERED_WITHIN_S,
        "80 % after it: every picture was served": after.all_served,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="At 80 %%.")
    parser.add_argument("--over", type=float, default=60.0, help="At 200 %%, and for each phase after it.")
    parser.add_argument("--trial", type=float, default=20.0, help="For each rate that may be the capacity.")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        world = demo_world(Path(name), 20, wh=(640, 480))
        pictures = [path.read_bytes() for path in sorted(world.pictures.iterdir())]
        command = [sys.executable, "-m", "yolotrt", "serve", str(world.engine), "--port", str(port)]
        options = ["--at-once", str(AT_ONCE), "--queue", str(QUEUE)]
        server = subprocess.Popen([*command, *options])
        try:
            url = f"http://127.0.0.1:{port}"
            asyncio.run(_ready(server, url))
            found = asyncio.run(measure(url, pictures, server.pid, chosen))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
    about = {"at_once": AT_ONCE, "queue": QUEUE, "environment": as_values(environment(os.cpu_count() or 1))}
    if chosen.json:
        write_text(chosen.json, json.dumps({**about, **found}, indent=1) + "\n")
    for goal, held in found["held"].items():
        print(f"{'held' if held else 'MISSED'}: {goal}", flush=True)
    sys.exit(not all(found["held"].values()))


async def _ready(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 300
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            if server.poll() is not None:
                raise SystemExit("the service ended")
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.5)
    raise SystemExit("the service is not ready after 300 s")


if __name__ == "__main__":
    main()
