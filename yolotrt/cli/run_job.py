"""What ``yolotrt run`` was asked to do, and how it is done with the sources of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.cli.console import note, warn
from yolotrt.cli.run_outputs import RunOutputs

if TYPE_CHECKING:
    from yolotrt.bench.lanes import Deal
    from yolotrt.bench.run_file import Delivery
    from yolotrt.bench.sustain import Sustained
    from yolotrt.data.feed import DropPolicy, Feed
    from yolotrt.data.feeds import Feeds
    from yolotrt.data.piped import RawFormat
    from yolotrt.data.video import MovingSource
    from yolotrt.data.video_decoders import Decoder
    from yolotrt.pipeline.settings import PipelineSettings
    from yolotrt.pipeline.tiled import TiledPipeline

Tick = Callable[["Sustained"], None]


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """What is processed, and how; processes that share the sources are told it as it stands.

    Attributes:
        engine: The engine's file.
        global_engine: Another one for the global pass.
        trust: Also load what nothing vouches for.
        settings: How frames are cut, run, decoded and merged.
        words: The sources.
        timeout_s: Seconds without a frame after which a stream is opened again.
        decoder: What decodes.
        raw: What comes on stdin.
        policy: What happens to frames that come too fast.
        fps: Frames per second that are taken.
        arrival: When frames come.
        duration_s: Seconds to run.
        deadline_s: Seconds after which a result is late.
    """

    engine: Path
    global_engine: Path | None
    trust: bool
    settings: PipelineSettings
    words: tuple[str, ...]
    timeout_s: float
    decoder: Decoder
    raw: RawFormat | None
    policy: DropPolicy
    fps: float | None
    arrival: str | None
    duration_s: float | None
    deadline_s: float | None

    def sources(self) -> tuple[MovingSource, ...]:
        """Return the sources; nothing is opened yet.

        Raises:
            YoloTrtError: One is not there, or cannot be opened so.
        """
        from yolotrt.data.video import moving_sources

        return moving_sources(self.words, timeout_s=self.timeout_s, decoder=self.decoder, raw=self.raw)

    def feeds(self, sources: Sequence[MovingSource]) -> Feeds:
        """Return what reads several sources."""
        from yolotrt.bench.arrival import Arrival
        from yolotrt.data.feeds import Feeds

        times = [] if self.arrival is None else [Arrival.parse(self.arrival).times() for _ in sources]
        return Feeds(
            sources, policy=self.policy, fps=self.fps, arrivals=times, deadline_s=self.deadline_s, warn=warn
        )

    def feed(self, sources: Sequence[MovingSource]) -> Feed | Feeds:
        """Return what reads one source or several.

        Raises:
            UsageError: Frames of a live source cannot come at times of ours.
        """
        from yolotrt.bench.arrival import Arrival
        from yolotrt.data.feed import Feed

        if len(sources) > 1:
            return self.feeds(sources)
        times = None if self.arrival is None else Arrival.parse(self.arrival).times()
        return Feed(sources[0], policy=self.policy, fps=self.fps, arrivals=times)

    def pipeline(self, device: str) -> TiledPipeline:
        """Load the engines on a device.

        Raises:
            YoloTrtError: They do not load.
        """
        from yolotrt.pipeline.tiled import TiledPipeline

        return TiledPipeline.open(
            self.engine,
            global_engine=self.global_engine,
            device=device,
            trust=self.trust,
            warn=warn,
            **vars(self.settings),
        )

    def prepare(self, pipeline: TiledPipeline, sources: Sequence[MovingSource]) -> None:
        """Have sources decoded where their frames are processed, and the pipeline made ready for them."""
        from yolotrt.workflow.decoding import decode_where_processed, warm_up

        if self.settings.depth > pipeline.depth:
            note("--pipeline-depth is of GPUs; a processor computes one frame at a time.")
        decode_where_processed(sources, self.decoder, pipeline, note, hurry=self.policy == "block")
        warm_up(pipeline, sources)


@dataclass
class Left:
    """What a run leaves beside its figures.

    Attributes:
        deliveries: What became of the results, by target.
        remarks: What makes the figures doubtful.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def process_here(
    job: RunJob,
    sources: Sequence[MovingSource],
    outputs: RunOutputs,
    tick: Tick,
    left: Left,
    *,
    device: str,
    lanes: Sequence[str],
    deal: Deal,
) -> Sustained:
    """Process all sources in this process.

    Args:
        job: What to do.
        sources: All of them.
        outputs: Where results go.
        tick: Told about once a second, and once more when an error or Ctrl-C ends the run.
        left: Gets what the run leaves, however it ends.
        device: Where the engines run.
        lanes: As many as share batches, with the deal ``batches``.
        deal: What is dealt out.

    Raises:
        YoloTrtError: The engine, all sources or an output failed.
    """
    from yolotrt.bench.sustain import sustain
    from yolotrt.scale.shared import sharing_pipelines
    from yolotrt.workflow.calibrated_light import noting_light

    feed = job.feed(sources)
    with ExitStack() as opened:
        if deal == "batches":
            opening: dict[str, Any] = {"global_engine": job.global_engine, "trust": job.trust, "warn": warn}
            sharing = sharing_pipelines(
                job.engine,
                len(lanes),
                job.settings,
                device=device,
                deadline_s=job.deadline_s,
                tell=note,
                **opening,
            )
            pipelines = opened.enter_context(sharing)
        else:
            pipelines = [opened.enter_context(job.pipeline(device))]
        for lane, part in enumerate(pipelines):
            job.prepare(part, sources[lane :: len(pipelines)])
        feed.start()
        rates = [(source.name, source.fps) for source in sources]
        outlets: list[Any] = []
        try:
            with outputs.opened(pipelines[0], rates, lossless=job.policy == "block") as (deliver, outlets):
                return sustain(
                    pipelines,
                    feed,
                    duration_s=job.duration_s,
                    tick=tick,
                    deadline_s=job.deadline_s,
                    deliver=noting_light(job.engine, deliver, note),
                )
        finally:
            feed.close()
            left.deliveries += [outlet.delivery for outlet in outlets]
            left.remarks += [remark for source in sources for remark in source.remarks()]
