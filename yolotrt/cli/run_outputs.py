"""Where ``yolotrt run`` puts its results: lines of JSON, annotated videos, a function of the user's."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrt.cli.console import note, say, warn
from yolotrt.errors import UsageError
from yolotrt.timing.clock import now

if TYPE_CHECKING:
    from yolotrt.arrays import Frame
    from yolotrt.artifacts.claims import Output
    from yolotrt.bench.sustain import Deliver
    from yolotrt.pipeline.tiled import TiledPipeline
    from yolotrt.workflow.outlets import Opening, Outlet, SeenFrame
    from yolotrt.workflow.predict import Found

MAKER = "yolotrt run"

Lines = Annotated[
    str | None,
    typer.Option("--jsonl", "-o", metavar="FILE|-", help="Also write one line of JSON per frame."),
]
Video = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE.mp4",
        help="Also write a video with the detections drawn; of several sources FILE-1.mp4, FILE-2.mp4, ...",
    ),
]
OnFrame = Annotated[
    str | None,
    typer.Option(
        "--on-frame", metavar="MODULE:FUNCTION", help="Also call this function of yours with each result."
    ),
]


Show = Annotated[
    bool, typer.Option("--show", help="Also show each source in a window, where there is a display.")
]


class RunOutputs:
    """What was asked for.

    Args:
        lines: ``--jsonl``.
        video: ``--save``.
        on_frame: ``--on-frame``.
        sources: How many sources there are.
        show: ``--show``.

    Raises:
        UsageError: The video is no MP4.
        EnvironmentFault: There is no display.
    """

    def __init__(
        self, lines: str | None, video: Path | None, on_frame: str | None, sources: int, *, show: bool = False
    ) -> None:
        self.lines, self._on_frame, self._show = lines, on_frame, show
        if show:
            from yolotrt.workflow.window import require_display

            require_display()
        if video is not None and video.suffix.lower() != ".mp4":
            raise UsageError(f"--save {video} is no .mp4.", hint="Like this: --save found.mp4")
        self.videos = [] if video is None else [video]
        if video is not None and sources > 1:
            self.videos = [video.with_name(f"{video.stem}-{k}{video.suffix}") for k in range(1, sources + 1)]
        self._function: Callable[[Any], object] | None = None

    def load(self) -> None:
        """Import the function of ``--on-frame``, in the process that calls it.

        Raises:
            UsageError: It is not there.
        """
        if self._on_frame is not None and self._function is None:
            self._function = loaded(self._on_frame)

    @property
    def claims(self) -> list[Output]:
        """What will be written, for :func:`yolotrt.cli.outputs.claim_outputs`."""
        from yolotrt.artifacts.claims import Output
        from yolotrt.artifacts.folders import by_list
        from yolotrt.artifacts.kinds import begins

        found = [Output("--save", path, by_list("a video of yolotrt run", MAKER)) for path in self.videos]
        if self.lines not in (None, "-"):
            found.append(Output("--jsonl", Path(str(self.lines)), begins("results of yolotrt run", _BEGIN)))
        return found

    @contextmanager
    def opened(
        self,
        pipeline: TiledPipeline,
        named: Sequence[tuple[str, float | None]],
        *,
        lossless: bool,
        places: Sequence[int] | None = None,
        lines: Opening[SeenFrame] | None = None,
    ) -> Iterator[tuple[Deliver, list[Outlet[SeenFrame]]]]:
        """Give what takes each frame with its result, and the outlets; they are closed after the block.

        Args:
            pipeline: Gives the class names.
            named: Name and frame rate of each source.
            lossless: Let the run wait rather than drop results.
            places: Which of the run's sources these are; None for all.
            lines: Takes the lines of ``--jsonl``, where another process writes them.

        Raises:
            UsageError: The function of ``--on-frame`` is not there.
        """
        from yolotrt.artifacts.folders import owning_file
        from yolotrt.workflow.outlets import FRAMES, LINES, Outlet

        videos = self.videos if places is None else [self.videos[k] for k in places if self.videos]
        self.load()
        with ExitStack() as owned:
            for path in videos:  # they were claimed before
                owned.enter_context(owning_file(path, MAKER, option="--save", overwrite=True))
            outlets: list[tuple[int | None, Outlet[SeenFrame]]] = []
            try:
                for name, only, opening, pictures in self._openings(pipeline, named, videos, lines):
                    capacity = FRAMES if pictures else LINES
                    outlet = Outlet(name, opening, capacity=capacity, lossless=lossless, warn=warn)
                    outlets.append((only, outlet))
                yield _deliver(pipeline.names, [name for name, _ in named], outlets), [o for _, o in outlets]
            finally:
                for _, outlet in outlets:
                    outlet.close()
        for path in videos:
            if path.exists():
                say(f"video: {path}")
        if lines is None:
            self.say_lines()

    def say_lines(self) -> None:
        """Say where the lines of ``--jsonl`` are."""
        if self.lines not in (None, "-"):
            say(f"JSON Lines: {self.lines}")

    @property
    def lines_name(self) -> str:
        """What the outlet of ``--jsonl`` is called."""
        return "stdout" if self.lines == "-" else str(self.lines)

    def _openings(
        self,
        pipeline: TiledPipeline,
        named: Sequence[tuple[str, float | None]],
        videos: Sequence[Path],
        lines: Opening[SeenFrame] | None,
    ) -> Iterator[tuple[str, int | None, Opening[SeenFrame], bool]]:
        from yolotrt.report.draw import draw
        from yolotrt.workflow.drawn import USUAL_FPS
        from yolotrt.workflow.identity import own_ids
        from yolotrt.workflow.outlets import function_output, line_output, video_output

        names = pipeline.names
        if self.lines is not None:
            yield self.lines_name, None, lines or line_output(self.lines, own_ids(names, None)), False

        def drawn(frame: Frame, seen: Found) -> Frame:
            return draw(frame, seen.detections, names, **seen.marks)

        for place, path in enumerate(videos):
            opening = video_output(path, named[place][1] or USUAL_FPS, drawn, note)
            yield str(path), place, opening, True
        if self._show:
            from yolotrt.workflow.window import window_output

            yield "--show", None, window_output(drawn), True
        if self._function is not None:
            yield str(self._on_frame), None, function_output(self._function), True


_BEGIN = '{"source": '


def loaded(text: str) -> Callable[[Any], object]:
    """Return the function that ``module:function`` names; modules of the working directory count, too.

    Raises:
        UsageError: It is not there.
    """
    module, _, name = text.partition(":")
    hint = "Like this: --on-frame alarm:check, for the function check(found) in alarm.py"
    if not module or not name:
        raise UsageError(f"--on-frame {text!r} names no function.", hint=hint)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise UsageError(f"--on-frame {text}: {exc}.", hint=hint) from exc
    if not callable(found):
        raise UsageError(f"--on-frame {text} is no function.", hint=hint)
    return found  # type: ignore[no-any-return]


def _deliver(
    names: tuple[str, ...], sources: Sequence[str], outlets: Sequence[tuple[int | None, Outlet[SeenFrame]]]
) -> Deliver:
    from yolotrt.data.queued import Queued
    from yolotrt.pipeline.frames import FrameResult
    from yolotrt.workflow.outlets import SeenFrame

    since_1970_ns = time.time_ns() - now()

    def deliver(queued: Queued, result: FrameResult) -> None:
        if not outlets:
            return
        source = sources[queued.source]
        seen = SeenFrame(
            name=f"{source}#{queued.moment.index}",
            frame_wh=result.frame_wh,
            detections=result.detections,
            names=names,
            moment=queued.moment,
            seconds=result.seconds,
            source=source,
            pixels=queued.frame,
            read_at=(queued.read_ns + since_1970_ns) / 1e9,
            ids=result.ids,
            looked=result.looked,
        )
        for only, outlet in outlets:
            if only is None or only == queued.source:
                outlet.put(seen)

    return deliver
