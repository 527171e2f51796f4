"""Kill batches that run on Ray, at random moments, and see what is left.

A batch of 200 pictures and a video runs on two workers of a local cluster. At a random moment SIGKILL comes
to a worker, to the driver, or to every process of the cluster; then the same command runs to its end, on a
new cluster where that is gone. What must hold, against an undisturbed run in local processes:

* the second run completes, and the results are equal, byte for byte;
* results that were there before it are the same files after it (inode and time of writing), and it computed
  only what was missing when its turn came;
* a run whose worker was killed completes by itself.

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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from benchmarks.batch_world import World, make_world, report, results, states
from benchmarks.forked import Commands, StartedCommand
from benchmarks.ray_cluster import Cluster, start
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment

KINDS = ("worker", "driver", "cluster")
MODULES = ("ray", "cv2", "onnxruntime", "av", "yolotrt.scale.run", "rich.progress", "yolotrt.cli.batch")


@dataclass
class BatchCampaign:
    """What the kills of one kind showed.

    Attributes:
        what: What was killed.
        kills: How often.
        undisturbed_s: Duration of a run that was not.
        moments: Seconds from the start to each kill, and the shards that were there then.
        completed_by_itself: Runs that went on to their end after the kill.
        problems: What did not hold.
    """

    what: str
    kills: int = 0
    undisturbed_s: float = 0.0
    moments: list[tuple[float, int]] = field(default_factory=list)
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

    def _command(self, out: Path, address: str | None) -> list[object]:
        world = self._world
        options = ["--shard", 8, "--workers", 2, "--mode", "tiled", "-o", out]
        return ["batch", world.engine, world.pictures, world.video, *options] + (
            ["--ray", address] if address else []
        )

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

    def undisturbed(self) -> tuple[float, list[str]]:
        """Run on the cluster without a kill; return how long it took, seconds, and what is wrong with it."""
        begin, found = time.monotonic(), BatchCampaign("nothing")
        self._finished(self.start(out := self._new()), found, "undisturbed")
        took = round(time.monotonic() - begin, 3)
        return took, [*found.problems, *self._differences(out, "undisturbed")]

    def kill(self, found: BatchCampaign, draw: random.Random, longest: float) -> bool:
        """Kill once, and complete; return False if the run had ended before.

        Args:
            found: What is known of this kind of kill.
            draw: Gives the moment.
            longest: Seconds within which it comes.
        """
        out = self._new()
        command = self.start(out)
        begin, killed = time.monotonic(), False
        time.sleep(draw.uniform(0.0, longest))
        while not (killed or command.ended()):
            killed = self._kill(found.what, command, draw)
            time.sleep(0.0 if killed else 0.05)  # there is no worker yet: the first one it is, then
        if not killed:
            self._finished(command, found, f"{found.what}, before kill {found.kills + 1}")
            return False
        found.kills += 1
        moment = round(time.monotonic() - begin, 3)
        before = states(out) if (out / "shards").exists() else {}
        found.moments.append((moment, len(before)))
        where = f"{found.what}, kill {found.kills} after {moment:.1f} s"
        if found.what == "worker":
            self._finished(command, found, where)
            found.completed_by_itself += command.done().code == 0
        elif found.what == "cluster":
            command.send(signal.SIGKILL)  # its driver cannot do anything without it
        command.done()
        self._complete(out, found, where)
        print(f"{where}, with {len(before)} of {len(self.expected)} shards", flush=True)
        return True

    def _complete(self, out: Path, found: BatchCampaign, where: str) -> None:
        before = states(out) if (out / "shards").exists() else {}
        self._finished(self.start(out), found, f"{where}, second run")
        found.problems += self._differences(out, where)
        after = states(out)
        if changed := [name for name in before if after.get(name) != before[name]]:
            found.problems.append(f"{where}: written again: {changed[:3]}")
        done = report(out)
        computed, reused = int(str(done["computed"])), int(str(done["reused"]))
        # A worker may outlive its driver by a moment and write one more result: that is used, too.
        if computed + reused != len(self.expected) or reused < len(before):
            found.problems.append(f"{where}: of {len(before)} there {reused} were used, {computed} computed")

    def _differences(self, out: Path, where: str) -> list[str]:
        return [] if results(out) == self.expected else [f"{where}: results differ from the local run's"]

    def _finished(self, command: StartedCommand, found: BatchCampaign, where: str) -> None:
        done = command.done()
        if done.code:
            found.problems.append(f"{where}: exit code {done.code}: {done.stderr[-400:]}")

    def _kill(self, what: str, command: StartedCommand, draw: random.Random) -> bool:
        if what == "driver":
            command.send(signal.SIGKILL)
            return True
        if what == "cluster":
            self.cluster.kill()
            self._cluster = None
            return True
        workers = self.cluster.workers()
        if not workers:
            return False
        try:
            draw.choice(workers).send_signal(signal.SIGKILL)
        except psutil.Error:
            return False
        return True

    def _new(self) -> Path:
        self._count += 1
        return self._folder / f"found-{self._count}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--what", action="append", choices=KINDS, help="default: all of them")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=7200.0, help="Seconds after which it ends early.")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    campaigns: list[BatchCampaign] = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        world = make_world(folder, chosen.pictures, wh=(100, 75))
        with Commands(MODULES, folder / "printed") as commands:
            bench = Bench(commands, world, folder)
            try:
                undisturbed_s, problems = bench.undisturbed()
                campaigns = [
                    BatchCampaign(what, undisturbed_s=undisturbed_s, problems=list(problems))
                    for what in chosen.what or KINDS
                ]
                _run(bench, campaigns, chosen)
            finally:
                bench.close()
    for last in campaigns:
        print(f"{last.what}: {last.kills} kills, {len(last.problems)} problems", flush=True)
        for problem in last.problems:
            print(f"  BROKEN: {problem}", flush=True)
    sys.exit(any(last.problems or not last.kills for last in campaigns))


def _run(bench: Bench, campaigns: list[BatchCampaign], chosen: argparse.Namespace) -> None:
    """Kill in turn, so that what there is time for is as much of each kind."""
    deadline = time.monotonic() + chosen.limit
    draws = {found.what: random.Random(f"{found.what} {chosen.seed}") for found in campaigns}
    longest = {found.what: found.undisturbed_s for found in campaigns}
    while time.monotonic() < deadline:
        left = [found for found in campaigns if found.kills < chosen.kills]
        if not left:
            return
        found = min(left, key=lambda campaign: campaign.kills)
        if not bench.kill(found, draws[found.what], longest[found.what]):
            longest[found.what] *= 0.9
        if chosen.json:
            _write(chosen.json, chosen, len(bench.expected), campaigns)


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
