"""``yolotrt eval --video``: the objects of an annotated video, with all tiles and with chosen ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolotrt.cli.console import emit_json, progress_bars, say, stdout, warn
from yolotrt.cli.options import ENGINES, tiles_file
from yolotrt.cli.outputs import claim_outputs, json_output
from yolotrt.errors import UsageError


def for_pictures(given: Mapping[str, object]) -> None:
    """Refuse options that say nothing of videos.

    Args:
        given: What was given for each of them.

    Raises:
        UsageError: One was given.
    """
    if wrong := [option for option, value in given.items() if value]:
        raise UsageError(f"{wrong[0]} is for pictures.", hint="Leave it out, or leave out --video.")


def eval_video(
    engines: list[Path],
    video: Path,
    annotations: Path,
    *,
    tiles: str,
    device: str,
    limit: int | None,
    trust: bool,
    overwrite: bool,
    json: str | None,
    **settings: Any,
) -> None:
    """Evaluate one engine; see :func:`yolotrt.workflow.video_accuracy.evaluate_video`.

    Args:
        engines: One engine.
        video: The video.
        annotations: What its frames show.
        tiles: The choice of tiles that is tried.
        device: Where to run.
        limit: Only so many frames.
        trust: Also load engines that nothing vouches for.
        overwrite: As of every verb.
        json: As of every verb.
        settings: Further fields of :class:`yolotrt.pipeline.settings.PipelineSettings`.

    Raises:
        UsageError: There is more than one engine.
    """
    from yolotrt.pipeline.settings import PipelineSettings
    from yolotrt.pipeline.tile_choice import TileChoice
    from yolotrt.report.tile_words import tile_words
    from yolotrt.report.video_tables import video_table
    from yolotrt.workflow.catalog import read_engines
    from yolotrt.workflow.video_accuracy import DOCUMENT, evaluate_video

    if len(engines) != 1:
        raise UsageError("--video evaluates one engine at a time.", hint="Name one engine.")
    chosen = PipelineSettings(tiles=TileChoice.parse(tiles), **settings)
    read = (engines, video, annotations, tiles_file(tiles))
    claim_outputs([json_output(json, DOCUMENT.kind)], *read, overwrite=overwrite)
    (file,) = read_engines(engines, ENGINES, trust=trust, warn=warn)
    with progress_bars() as progress:
        found = evaluate_video(
            file, video, annotations, chosen, device=device, limit=limit, progress=progress
        )
    if json != "-":
        console = stdout()
        console.print(video_table(found, console.width))
    if (use := found.ways[1].use) is not None:
        say(f"tiles: {tile_words(use)}")
    if chosen.track and found.ways[0].identities is None:
        say("note: IDF1 and HOTA are TrackEval's: pip install trackeval")
    emit_json(json, DOCUMENT.to_json(found))
