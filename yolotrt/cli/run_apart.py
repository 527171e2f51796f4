"""``yolotrt run`` on several GPUs: a process for each, started and watched here.

Threads that share an interpreter share it badly: two cameras on two GPUs gave 1.4 times the frames of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from yolotrt.cli.console import warn
from yolotrt.cli.run_job import Left, RunJob, Tick
from yolotrt.cli.run_members import RunProcesses
from yolotrt.cli.run_outputs import RunOutputs
from yolotrt.cli.run_process import Closed, Line, Processed, RunLane
from yolotrt.timing.clock import now

if TYPE_CHECKING:
    from yolotrt.bench.apart import FarSources
    from yolotrt.bench.run_file import Delivery
    from yolotrt.bench.sustain import Sustained
    from yolotrt.bench.sustained import RunTally
    from yolotrt.data.video import MovingSource
    from yolotrt.workflow.outlets import Outlet


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
        RunLane(device, tuple(range(place, len(sources), len(devices))))
        for place, device in enumerate(devices)
    ]
    far = FarSources([source.name for source in sources])
    piped = [isinstance(source, PipedSource) for source in sources]
    with RunProcesses.of((job, outputs), lanes, piped) as members, _written(job, outputs, left) as lines:
        places = members.prepared()
        with energy_meter(places) as meter:

            def memory() -> float | None:
                here = resident_mib()
                return None if here is None else here + sum(resident_mib(one) or 0.0 for one in members.ids)

            tally = RunTally(now, memory, job.deadline_s, meter, far.parts)
            watch = _Watch(members, far, tally, lines, left)
            members.tell_all()
            try:
                watch.until_processed(lambda: tick(tally.glance(far.counts)))
            except BaseException:
                lines.hurry()
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


class _Watch:
    """Hears what the processes say while they work, in a thread: Ctrl-C must not come between two words.

    Args:
        members: The processes, which are prepared.
        far: Their sources.
        tally: Counts.
        lines: Takes lines.
        left: Gets what they leave.
    """

    def __init__(
        self,
        members: RunProcesses,
        far: FarSources,
        tally: RunTally,
        lines: _SentLines,
        left: Left,
    ) -> None:
        self._members, self._far, self._tally, self._lines, self._left = members, far, tally, lines, left
        self._over, self._closed = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        threading.Thread(target=self._listen, name="yolotrt-processes", daemon=True).start()

    def until_processed(self, tick: Callable[[], None]) -> None:
        """Wait until no more frames come from any.

        Raises:
            YoloTrtError: One of them failed.
        """
        from yolotrt.bench.sustain import TICK_S

        while not self._over.wait(TICK_S):
            tick()
        if self._failure is not None:
            raise self._failure

    def until_closed(self) -> Exception | None:
        """Wait until all have closed their outputs; return the first failure by then."""
        self._closed.wait()
        return self._failure

    def _listen(self) -> None:
        while not self._members.all("closed"):
            try:
                self._hear()
            except Exception as exc:  # what ends a run is said again and again, and others fail, too
                self._failure = self._failure or exc
            if self._failure is not None or self._members.all("processed"):
                self._over.set()
        self._over.set()
        self._closed.set()

    def _hear(self) -> None:
        from yolotrt.bench.apart import Counted

        for member, said in self._members.listen():
            if isinstance(said, Counted):
                self._far.absorb(said, member.lane.places, self._tally)
            elif isinstance(said, Line):
                self._lines.put(said.data)
            elif isinstance(said, Closed):
                member.closed = True
                self._left.deliveries += said.deliveries
                self._left.remarks += said.remarks
            elif isinstance(said, Processed):
                member.processed = True
                if said.failure is not None:
                    member.failed = True
                    raise said.failure.error()


class _SentLines:
    """Writes lines of ``--jsonl``, from processes that have sent them.

    The file is begun with the first line: a run that does not begin leaves that of an earlier one as it is.

    Args:
        job: Says whether lines may be dropped.
        outputs: Says where they go.
    """

    def __init__(self, job: RunJob, outputs: RunOutputs) -> None:
        self._lossless, self._outputs, self._hurried = job.policy == "block", outputs, False
        self._outlet: Outlet[bytes] | None = None

    def begin(self) -> Outlet[bytes]:
        """Begin the file, if nobody has."""
        from yolotrt.workflow.outlets import LINES, Outlet, written_lines

        if self._outlet is None:
            opening, name = written_lines(str(self._outputs.lines)), self._outputs.lines_name
            self._outlet = Outlet(name, opening, capacity=LINES, lossless=self._lossless, warn=warn)
            if self._hurried:
                self._outlet.hurry()
        return self._outlet

    def put(self, line: bytes) -> None:
        """Write a line."""
        self.begin().put(line)

    def hurry(self) -> None:
        """Wait no longer for a reader that takes none: what the processes say besides comes behind lines."""
        self._hurried = True
        if self._outlet is not None:
            self._outlet.hurry()

    def close(self) -> list[Delivery]:
        """End the file, and return what became of the lines."""
        if self._outlet is None:
            return []
        self._outlet.close()
        return [self._outlet.delivery]


@contextmanager
def _written(job: RunJob, outputs: RunOutputs, left: Left) -> Iterator[_SentLines]:
    """Give what writes lines; at the end, deliveries are told in the order of one process."""
    lines = _SentLines(job, outputs)
    try:
        yield lines
        if outputs.lines is not None:
            lines.begin()  # one without lines is what a run without frames leaves
    finally:
        left.deliveries[:] = _together(lines.close(), left.deliveries, outputs)
    if outputs.lines is not None:
        outputs.say_lines()


def _together(own: Sequence[Delivery], sent: Sequence[Delivery], outputs: RunOutputs) -> list[Delivery]:
    """Return what became of the results of all processes, by target."""
    from yolotrt.bench.run_file import Delivery

    order = [outputs.lines_name, *map(str, outputs.videos)]
    found = {delivery.target: delivery for delivery in own}
    for one in sent:
        one = replace(one, written=0) if one.target in {d.target for d in own} else one
        before = found.get(one.target, Delivery(one.target, 0, 0))
        found[one.target] = Delivery(
            one.target,
            before.written + one.written,
            before.dropped + one.dropped,
            before.complaint or one.complaint,
        )
    return sorted(found.values(), key=lambda d: order.index(d.target) if d.target in order else len(order))
