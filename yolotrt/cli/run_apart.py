"""``yolotrt run`` on several GPUs: a process for each, started and watched here.

Threads that share an interpreter share it badly: two cameras on two GPUs gave 1.4 times the frames of one.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from yolotrt.cli.console import say, warn
from yolotrt.cli.run_job import Left, RunJob, Tick
from yolotrt.cli.run_outputs import RunOutputs
from yolotrt.cli.run_process import Closed, Lane, Line, Message, Prepared, Processed
from yolotrt.errors import ExecutionError
from yolotrt.timing.clock import now, seconds_between

if TYPE_CHECKING:
    from yolotrt.bench.apart import FarSources
    from yolotrt.bench.run_file import Delivery
    from yolotrt.bench.sustain import Sustained
    from yolotrt.bench.sustained import RunTally
    from yolotrt.data.video import MovingSource

TICK_S = 1.0


def process_apart(
    job: RunJob,
    sources: Sequence[MovingSource],
    outputs: RunOutputs,
    tick: Tick,
    left: Left,
    *,
    devices: Sequence[str],
) -> Sustained:
    """Process the sources in processes, one for each device; source k is of device k modulo their number.

    Args:
        job: What to do.
        sources: All of them; they are opened elsewhere.
        outputs: Where results go.
        tick: Told about once a second, and once more when an error or Ctrl-C ends the run.
        left: Gets what the run leaves, however it ends.
        devices: Where engines run.

    Raises:
        ExecutionError: A process ended.
        YoloTrtError: The engine, all sources or an output failed.
    """
    from yolotrt.bench.apart import FarSources
    from yolotrt.bench.sustain import resident_mib
    from yolotrt.bench.sustained import RunTally
    from yolotrt.data.piped import PipedSource
    from yolotrt.machine.energy import energy_meter

    lanes = [
        Lane(device, tuple(range(place, len(sources), len(devices)))) for place, device in enumerate(devices)
    ]
    far = FarSources([source.name for source in sources])
    piped = [isinstance(source, PipedSource) for source in sources]
    with _Members.of((job, outputs), lanes, piped) as members, _lines(job, outputs, left) as write:
        places = members.prepared()
        with energy_meter(places) as meter:

            def memory() -> float | None:
                here = resident_mib()
                return None if here is None else here + sum(resident_mib(one) or 0.0 for one in members.ids)

            tally = RunTally(now, memory, job.deadline_s, meter, far.parts)
            watch = _Watch(members, far, tally, write, left)
            members.tell_all()
            try:
                watch.until_processed(lambda: tick(tally.glance(far.counts)))
            except BaseException:
                members.tell_all()
                watch.until_closed()
                if tally.latency.seen:
                    tick(tally.report(far.counts))
                raise
            ended = tally.report(far.counts)
            if (failure := watch.until_closed()) is not None:
                tick(ended)
                raise failure
            return ended


@dataclass
class _Member:
    lane: Lane
    process: subprocess.Popen[bytes]
    pipe: Connection
    processed: bool = False
    failed: bool = False
    closed: bool = False


class _Members:
    """The processes."""

    def __init__(self) -> None:
        self._members: list[_Member] = []
        self._said: set[str] = set()

    @classmethod
    @contextmanager
    def of(
        cls, told: tuple[RunJob, RunOutputs], lanes: Sequence[Lane], piped: Sequence[bool]
    ) -> Iterator[_Members]:
        """Start a process for each lane; they end with the block. ``piped`` sources come on stdin."""
        from yolotrt.scale.processes import started

        members = cls()
        try:
            for lane in lanes:
                stdin = None if any(piped[place] for place in lane.places) else subprocess.DEVNULL
                process, pipe = started("yolotrt.cli.run_process:work", stdin=stdin)
                members._members.append(_Member(lane, process, pipe))
                pipe.send((*told, lane))
            yield members
        finally:
            for member in members._members:
                if not member.closed:
                    member.process.terminate()
                member.pipe.close()
            for member in members._members:
                member.process.wait()

    @property
    def ids(self) -> list[int]:
        """The numbers of those that run."""
        return [member.process.pid for member in self._members if member.process.poll() is None]

    def prepared(self) -> list[str]:
        """Wait until all have loaded their engines; return where their GPUs sit.

        Raises:
            YoloTrtError: One of them cannot.
        """
        found: dict[int, tuple[str, ...]] = {}
        while len(found) < len(self._members):
            for member, said in self.listen(None):
                if isinstance(said, Prepared):
                    found[id(member)] = said.pci_bus_ids
                elif said.failure is not None:
                    raise said.failure.error()
        return [place for member in self._members for place in found[id(member)]]

    def tell_all(self) -> None:
        """Give the word to begin, or to end."""
        for member in self._members:
            if not member.closed:
                try:
                    member.pipe.send(True)
                except OSError:
                    continue  # it has ended, and listen() says so

    def all(self, name: str) -> bool:
        """Return whether something is true of all."""
        return all(getattr(member, name) for member in self._members)

    def listen(self, timeout_s: float | None) -> Iterator[tuple[_Member, Any]]:
        """Give what they say within a time, until nothing more is there; say what is for the user.

        Raises:
            ExecutionError: One of them ended without a word.
        """
        open_pipes = {id(member.pipe): member for member in self._members if not member.closed}
        for pipe in wait([member.pipe for member in open_pipes.values()], timeout_s):
            member = open_pipes[id(pipe)]
            try:
                said = member.pipe.recv()
            except (EOFError, OSError):
                member.processed = member.closed = True
                if member.failed:  # it has said why
                    continue
                raise ExecutionError(
                    f"The process for {member.lane.device} ended ({_how(member.process.wait())}).",
                    hint="See whether it was killed for memory (dmesg); what came before that is complete.",
                ) from None
            if not isinstance(said, Message):
                yield member, said
            elif said.text not in self._said:  # several say the same of one engine
                self._said.add(said.text)
                say(said.text)


class _Watch:
    """Hears what the processes say while they work."""

    def __init__(
        self, members: _Members, far: FarSources, tally: RunTally, write: Callable[[bytes], None], left: Left
    ) -> None:
        self._members, self._far, self._tally, self._write, self._left = members, far, tally, write, left

    def until_processed(self, tick: Callable[[], None]) -> None:
        """Count until all have no more frames.

        Raises:
            YoloTrtError: One of them failed.
        """
        told = now()
        while not self._members.all("processed"):
            self._hear(max(0.0, TICK_S - seconds_between(told, now())))
            if seconds_between(told, now()) >= TICK_S:
                told = now()
                tick()

    def until_closed(self) -> Exception | None:
        """Wait until all have closed their outputs; return the first failure by then."""
        first: Exception | None = None
        while not self._members.all("closed"):
            try:
                self._hear(None)
            except Exception as exc:  # what ended the run is said again and again, and others fail, too
                first = first or exc
        return first

    def _hear(self, timeout_s: float | None) -> None:
        from yolotrt.bench.apart import Counted

        for member, said in self._members.listen(timeout_s):
            if isinstance(said, Counted):
                self._far.absorb(said, member.lane.places, self._tally)
            elif isinstance(said, Line):
                self._write(said.data)
            elif isinstance(said, Closed):
                member.closed = True
                self._left.deliveries += said.deliveries
                self._left.remarks += said.remarks
            elif isinstance(said, Processed):
                member.processed = True
                if said.failure is not None:
                    member.failed = True
                    raise said.failure.error()


@contextmanager
def _lines(job: RunJob, outputs: RunOutputs, left: Left) -> Iterator[Callable[[bytes], None]]:
    """Give what writes lines of ``--jsonl``; deliveries are told in the order of one process."""
    from yolotrt.bench.run_file import Delivery
    from yolotrt.workflow.outlets import LINES, Outlet, whole_lines

    order = [outputs.lines_name, *map(str, outputs.videos)]

    def tell(own: Sequence[Delivery]) -> None:
        found: dict[str, Delivery] = {delivery.target: delivery for delivery in own}
        for one in left.deliveries:
            sent = replace(one, written=0) if one.target in {d.target for d in own} else one
            before = found.get(one.target, Delivery(one.target, 0, 0))
            found[one.target] = Delivery(
                one.target,
                before.written + sent.written,
                before.dropped + sent.dropped,
                before.complaint or sent.complaint,
            )
        told = sorted(
            found.values(), key=lambda d: order.index(d.target) if d.target in order else len(order)
        )
        left.deliveries[:] = told

    if outputs.lines is None:
        try:
            yield lambda _: None
        finally:
            tell([])
        return
    outlet: Outlet[bytes] = Outlet(
        outputs.lines_name,
        whole_lines(outputs.lines),
        capacity=LINES,
        lossless=job.policy == "block",
        warn=warn,
    )
    try:
        yield outlet.put
    finally:
        outlet.close()
        tell([outlet.delivery])
    outputs.say_lines()


def _how(code: int) -> str:
    """Return how a process ended."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
