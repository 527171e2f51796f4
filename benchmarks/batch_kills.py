"""Kill batches that run on Ray, at random moments, and see what is left.

A batch of 200 pictures and a video runs on two workers of a local cluster. While results are being written
SIGKILL comes to a worker, to the driver, or to every process of the cluster; then the same command runs to
its end, on a new cluster where that is gone. The moment: so many results are there (drawn from one to all but
two), and then a share of the usual time between two, drawn, too. What must hold, against an undisturbed run
in local processes:

* the second run completes, and the results are equal, byte for byte;
* results that were there at the kill are the same files in the end (inode and time of writing), and whoever
  went on computed only what was missing when its turn came;
* a run whose worker was killed completes by itself.

What is known is written after every kill; with the same ``--json`` a run that was cut goes on.

    python -m benchmarks.batch_kills [--what worker] [--kills 20] [--seed 0] [--json FILE]     (extra ray)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import psutil

from benchmarks.batch_world import World, make_world, report, results, states
from benchmarks.forked import Commands, StartedCommand
from benchmarks.ray_cluster import Cluster, start
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment

KINDS = ("worker", "driver", "cluster")
MODULES = ("ray", "cv2", "onnxruntime", "av", "yolotrt.scale.run", "rich.progress", "yolotrt.cli.batch")
LOOK_S = 0.002


@dataclass
class BatchCampaign:
    """What the kills of one kind showed.

    Attributes:
        what: What was killed.
        kills: How often.
        missed: Runs that had ended when their moment came.
        moments: Seconds from the start to each kill, and the results that were there then.
        used: Results that the second run found, for each kill.
        completed_by_itself: Runs that went on to their end after the kill.
        problems: What did not hold.
    """

    what: str
    kills: int = 0
    missed: int = 0
    moments: list[tuple[float, int]] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    completed_by_itself: int = 0
    problems: list[str] = field(default_factory=list)


class Bench:
    """Runs, kills and compares."""

    def __init__(self, commands: Commands, world: World, folder: Path) -> None:
        self._commands, self._world, self._folder = commands, world, folder
        self._cluster: Cluster | None = None
        self._count = 0
        done = commands.run(self._command(folder / "local", None), folder)
        if done.code:
            raise SystemExit(f"the local run failed:\n{done.stderr}")
        self.expected = results(folder / "local")
        self.gap_s = 0.0

    def _command(self, out: Path, address: str | None) -> list[object]:
        world = self._world
        options = ["--shard", 8, "--workers", 2, "--mode", "tiled", "-o", out]
        inputs = [path for path in (world.pictures, world.video) if path]
        return ["batch", world.engine, *inputs, *options] + (["--ray", address] if address else [])

    @property
    def cluster(self) -> Cluster:
        """A cluster that is alive."""
        if self._cluster is None:
            self._cluster = start(2)
        return self._cluster

    def close(self) -> None:
        """End the cluster."""
        if self._cluster is not None:
            self._cluster.kill()
            self._cluster = None

    def start(self, out: Path) -> StartedCommand:
        """Start the batch on the cluster."""
        return self._commands.start(self._command(out, self.cluster.address), self._folder)

    def undisturbed(self) -> float:
        """Run on the cluster without a kill, and learn the time between results; return its duration, s."""
        begin, out = time.monotonic(), self._new()
        command = self.start(out)
        _until(out, 1, command)
        first = time.monotonic()
        _until(out, len(self.expected), command)
        self.gap_s = (time.monotonic() - first) / len(self.expected)
        done = command.done()
        if done.code or results(out) != self.expected:
            raise SystemExit(f"an undisturbed run on Ray differs from the local one:\n{done.stderr}")
        return time.monotonic() - begin

    def kill(self, found: BatchCampaign, draw: random.Random) -> None:
        """Kill once, and complete; a run that ends before its moment counts as missed."""
        out = self._new()
        results_there, rest_s = draw.randint(1, len(self.expected) - 2), draw.uniform(0.0, self.gap_s)
        begin, command = time.monotonic(), self.start(out)
        _until(out, results_there, command)
        time.sleep(rest_s)
        where = f"{found.what}, kill {found.kills + 1}"
        if command.ended() or not self._kill(found.what, command, draw):
            found.missed += 1
            self._finished(command, found, f"{where}, which came too late")
            return
        moment, there = round(time.monotonic() - begin, 3), states(out)
        found.kills += 1
        found.moments.append((moment, len(there)))
        if found.what == "worker":
            found.completed_by_itself += self._finished(command, found, where)
            self._computed_once(out, there, found, f"{where}, by itself")
        elif found.what == "cluster":
            command.send(signal.SIGKILL)  # its driver cannot do anything without it
        command.done()
        self._finished(self.start(out), found, f"{where}, second run")
        found.used.append(self._computed_once(out, there, found, f"{where}, second run"))
        if results(out) != self.expected:
            found.problems.append(f"{where}: results differ from the local run's")
        print(f"{where} after {moment:.1f} s, with {len(there)} of {len(self.expected)} results", flush=True)

    def _computed_once(
        self, out: Path, there: dict[str, tuple[int, int]], found: BatchCampaign, where: str
    ) -> int:
        """Judge what a run did that knew of these results or more; return how many it used."""
        after = states(out)
        if again := [name for name in there if after.get(name) != there[name]]:
            found.problems.append(f"{where}: written again: {again[:3]}")
        done = report(out)
        computed, reused = int(str(done["computed"])), int(str(done["reused"]))
        # The run that was killed may have written more results, between the look and the kill's effect.
        if computed + reused != len(self.expected):
            found.problems.append(f"{where}: {computed} computed and {reused} used of {len(self.expected)}")
        if "second" in where and reused < len(there):
            found.problems.append(f"{where}: of {len(there)} results {reused} were used")
        return reused

    def _finished(self, command: StartedCommand, found: BatchCampaign, where: str) -> bool:
        done = command.done()
        if done.code:
            found.problems.append(f"{where}: exit code {done.code}: {done.stderr[-400:]}")
        return done.code == 0

    def _kill(self, what: str, command: StartedCommand, draw: random.Random) -> bool:
        if what == "driver":
            command.send(signal.SIGKILL)
            return True
        if what == "cluster":
            self.close()
            return True
        try:
            draw.choice(self.cluster.workers()).send_signal(signal.SIGKILL)
        except (IndexError, psutil.Error):  # they have ended by now
            return False
        return True

    def _new(self) -> Path:
        self._count += 1
        return self._folder / f"found-{self._count}"


def _until(out: Path, count: int, command: StartedCommand) -> None:
    """Wait until so many results are there, or the command has ended."""
    while len(states(out)) < count and not command.ended(LOOK_S):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--what", action="append", choices=KINDS, help="default: all of them")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=7200.0, help="Seconds after which it ends early.")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    kinds: Sequence[str] = chosen.what or KINDS
    campaigns = _known(chosen) or [BatchCampaign(what) for what in kinds]
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        world = make_world(folder, chosen.pictures, wh=(100, 75))
        with Commands(MODULES, folder / "printed") as commands:
            bench = Bench(commands, world, folder)
            try:
                print(f"undisturbed: {bench.undisturbed():.1f} s", flush=True)
                _run(bench, [found for found in campaigns if found.what in kinds], campaigns, chosen)
            finally:
                bench.close()
    for last in campaigns:
        print(f"{last.what}: {last.kills} kills, {len(last.problems)} problems", flush=True)
        for problem in last.problems:
            print(f"  BROKEN: {problem}", flush=True)
    sys.exit(any(last.problems or last.kills < chosen.kills for last in campaigns))


def _run(
    bench: Bench, wanted: list[BatchCampaign], campaigns: list[BatchCampaign], chosen: argparse.Namespace
) -> None:
    """Kill in turn, so that what there is time for is as much of each kind."""
    deadline = time.monotonic() + chosen.limit
    while time.monotonic() < deadline:
        left = [found for found in wanted if found.kills < chosen.kills]
        if not left:
            return
        found = min(left, key=lambda campaign: campaign.kills)
        number = found.kills + found.missed
        bench.kill(found, random.Random(f"{found.what} {chosen.seed} {number}"))
        if chosen.json:
            _write(chosen.json, chosen, len(bench.expected), campaigns)


def _known(chosen: argparse.Namespace) -> list[BatchCampaign]:
    """Return what an earlier run found; nothing if there is none."""
    if not chosen.json or not chosen.json.exists():
        return []
    document = json.loads(chosen.json.read_text())
    if (document["seed"], document["pictures"]) != (chosen.seed, chosen.pictures):
        raise SystemExit(f"{chosen.json} is of another seed or number of pictures: name another file")
    return msgspec.convert(document["campaigns"], list[BatchCampaign])


def _write(target: Path, chosen: argparse.Namespace, shards: int, campaigns: list[BatchCampaign]) -> None:
    document = {
        "seed": chosen.seed,
        "pictures": chosen.pictures,
        "shards": shards,
        "environment": as_values(environment(os.cpu_count() or 1)),
        "campaigns": [asdict(campaign) for campaign in campaigns],
    }
    write_text(target, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
