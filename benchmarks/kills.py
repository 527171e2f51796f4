"""Kill commands at random moments and see what they leave.

A command is started (see benchmarks.forked) in a folder that is empty or holds an earlier output, killed
(SIGKILL) at a random moment of its run, its files are examined, and the same command is run to its end.
A fifth as many kills more are aimed: they come within 20 ms of a file being written. What must hold:

* every file under its final name is complete and valid, at any moment;
* an earlier output is whole until the new one replaces it;
* the same command then completes, reuses what was done, and leaves no temporary file.

    python -m benchmarks.kills [--verb build] [--kills 50] [--seed 0] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.forked import Commands, Kill, is_temporary
from tests.faults.killed_verbs import VERBS, Verb
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment


@dataclass
class Campaign:
    """What the kills of one verb showed.

    Attributes:
        verb: The command.
        kills: Runs that were killed at random moments.
        aimed: Runs that were killed while a file was being written, or just after.
        uninterrupted_s: Duration of a run that was not.
        found: How often each state was found after a kill.
        reused: Completing runs that had something to reuse, all of which did.
        temporary: Kills that left a temporary file, which the completing run removed.
        moments: Seconds from the start to each kill, and what was found then.
        problems: What was broken or lost; empty if all of it holds.
    """

    verb: str
    kills: int = 0
    aimed: int = 0
    uninterrupted_s: float = 0.0
    found: dict[str, int] = field(default_factory=dict)
    reused: int = 0
    temporary: int = 0
    moments: list[tuple[float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def campaign(verb: Verb, commands: Commands, kills: int, aimed: int, seed: int, work: Path) -> Campaign:
    """Kill a command; every other time it is to replace an earlier output.

    Args:
        verb: The command.
        commands: What runs it.
        kills: Number of kills at random moments.
        aimed: Number of kills while a file is written.
        seed: Seed of the moments.
        work: An empty folder.
    """
    draw = random.Random(f"{verb.name} {seed}")
    result = Campaign(verb.name)
    fresh, earlier, place = work / "fresh", work / "earlier", work / "place"
    fresh.mkdir(parents=True)
    shutil.copytree(fresh, earlier)
    finished(commands, verb.earlier(), earlier)
    verb.interrupt(earlier)
    shutil.copytree(earlier, place)
    begin = time.monotonic()
    finished(commands, verb.command(), place)
    result.uninterrupted_s = longest = round(time.monotonic() - begin, 3)
    for _ in range(20 * (kills + aimed)):
        if result.kills == kills and result.aimed == aimed:
            return result
        random_moment = result.kills < kills
        over_earlier = bool((result.kills + result.aimed) % 2)
        shutil.rmtree(place)
        shutil.copytree(earlier if over_earlier else fresh, place)
        begin = time.monotonic()
        # Of a small file there is little to catch, so more kills come soon.
        due = draw.uniform(0.0, longest) if random_moment else 0.02 * draw.random() ** 2
        done = commands.run(verb.command(), place, Kill(due, writing=not random_moment))
        if done.code >= 0:
            result.problems += [f"{verb.name} failed by itself: {done.stderr[-500:]}"] if done.code else []
            longest *= 0.98 if random_moment else 1.0  # it had ended before: this machine is faster now
            continue
        result.kills += random_moment
        result.aimed += not random_moment
        _examine(verb, commands, place, result, time.monotonic() - begin, over_earlier=over_earlier)
    raise SystemExit(
        f"{verb.name} ends before it can be killed ({result.kills} + {result.aimed} times it could)"
    )


def _examine(
    verb: Verb, commands: Commands, place: Path, result: Campaign, moment: float, *, over_earlier: bool
) -> None:
    where = f"{verb.name}, kill {result.kills + result.aimed} after {moment:.3f} s"
    result.problems += [f"{where}: {p}" for p in verb.broken(place, over_earlier)]
    done = verb.done(place)
    result.found[done] = result.found.get(done, 0) + 1
    result.moments.append((round(moment, 3), done))
    result.temporary += bool(temporaries(place))
    before = verb.memory(place)
    completed = commands.run(verb.command(), place)
    if completed.code:
        result.problems.append(f"{where}: the same command then failed: {completed.stderr[-500:]}")
        return
    result.problems += [f"{where}, completed: {p}" for p in verb.broken(place, over_earlier)]
    result.problems += [f"{where}, completed: {p} is left" for p in temporaries(place)]
    if verb.done(place) != "everything":
        result.problems.append(f"{where}: the completed run left {verb.done(place)}")
    if before:
        problem = verb.wasted(before, completed, place)
        result.problems += [f"{where}: {problem}"] if problem else []
        result.reused += problem is None


def temporaries(place: Path) -> list[str]:
    """Return the temporary names in a folder."""
    return [n for _, folders, files in os.walk(place) for n in [*files, *folders] if is_temporary(n)]


def finished(commands: Commands, arguments: list[str], place: Path) -> None:
    done = commands.run(arguments, place)
    if done.code:
        raise SystemExit(f"yolotrt {' '.join(arguments)} failed before anything was killed:\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--verb", action="append", choices=sorted(VERBS), help="default: all of them")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--aimed", type=int, help="default: a fifth of --kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    aimed = chosen.kills // 5 if chosen.aimed is None else chosen.aimed
    campaigns = []
    for name in chosen.verb or VERBS:
        with tempfile.TemporaryDirectory(prefix="kills-") as folder, ExitStack() as stack:
            verb: Verb = VERBS[name](Path(folder) / "inputs", stack)
            commands = stack.enter_context(Commands(verb.modules, Path(folder) / "printed"))
            campaigns.append(campaign(verb, commands, chosen.kills, aimed, chosen.seed, Path(folder)))
        last = campaigns[-1]
        found = ", ".join(f"{state} {count} times" for state, count in last.found.items())
        print(f"{name}: killed {last.kills} + {last.aimed} times; found {found}", flush=True)
        print(f"  {last.reused} of the completing runs had something to reuse, and did", flush=True)
        for problem in last.problems:
            print(f"  BROKEN: {problem}", flush=True)
    if chosen.json:
        document = {
            "seed": chosen.seed,
            "environment": environment(os.cpu_count() or 1),
            "verbs": [asdict(c) for c in campaigns],
        }
        write_text(chosen.json, json.dumps(document, indent=1) + "\n")
    sys.exit(any(c.problems for c in campaigns))


if __name__ == "__main__":
    main()
