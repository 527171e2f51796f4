"""``yolotrt scenes``: synthetic pictures and videos with known contents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, tell
from yolotrt.cli.options import JsonTarget, choice, width_height
from yolotrt.cli.outputs import Overwrite, claim_outputs, in_folder, json_output
from yolotrt.data.scenes.footage_kinds import FOOTAGE
from yolotrt.errors import UsageError


def scenes(
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", "--out", metavar="DIR", help="Folder for images/ and instances.json."),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of scenes.")] = 8,
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height, px.")] = "3840x2160",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first scene; the next take the next.")] = 0,
    tile: Annotated[
        int | None, typer.Option(min=64, help="Write the scenes cut into tiles with this side, px.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also or instead: a video (.mp4, .avi) of one scene.")
    ] = None,
    footage: Annotated[
        str | None,
        typer.Option(
            help=f"What the video shows: {', '.join(f'{k} ({e.summary})' for k, e in FOOTAGE.items())}. "
            "[default: drift]"
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Also write what every frame of the video shows, with track ids."
        ),
    ] = None,
    fps: Annotated[int, typer.Option(min=1, max=240, help="Frames per second of the video.")] = 30,
    seconds: Annotated[float, typer.Option(min=0.0, max=3600.0, help="Length of the video.")] = 5.0,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Draw 4K scenes of eight classes of shapes, with masks in COCO format; a seed always gives the same.

    For calibration, evaluation and tests. The carried demo model was trained on such scenes, of seeds
    from 1000000 on.

    \b
    Examples:
      yolotrt scenes --count 50 --out scenes/
      yolotrt eval ENGINE --images scenes/images --annotations scenes/instances.json --mode tiled
      yolotrt scenes --count 20 --tile 640 --out tiles/
      yolotrt scenes --video moving.mp4 --seconds 5 --size 1920x1080
      yolotrt scenes --video rain.mp4 --footage rain --truth rain.json --seconds 60
    """
    from dataclasses import replace

    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.folders import by_list
    from yolotrt.data.scenes.files import write_scenes
    from yolotrt.data.scenes.footage_files import TRUTH, VIDEO_MAKER, write_video
    from yolotrt.workflow.replies import SCENES, Scenes

    if out is None and video is None:
        raise UsageError("There is nothing to write.", hint="Give --out DIR, --video FILE, or both.")
    if truth is not None and video is None:
        raise UsageError("--truth says what a video shows, and none is written.", hint="Add --video FILE.mp4")
    if footage is not None and video is None:
        raise UsageError("--footage says which video, and none is written.", hint="Add --video FILE.mp4")
    kind = choice(footage or "drift", "--footage", tuple(FOOTAGE))
    wh = width_height(size, "--size")
    outputs = [json_output(json, SCENES.kind)]
    if video is not None:
        outputs.append(Output("--video", video, by_list("a video of yolotrt scenes", VIDEO_MAKER)))
    if truth is not None:
        outputs.append(Output("--truth", truth, TRUTH))
    claim_outputs(outputs, overwrite=overwrite, folders=in_folder("--out", out))
    done = Scenes(seed, wh)
    with progress_bars() as progress:
        if out is not None:
            annotations = write_scenes(
                out, count, seed, wh, tile=tile, overwrite=overwrite, progress=progress
            )
            done = replace(done, scenes=count, images=str(out / "images"), annotations=str(annotations))
        if video is not None:
            write_video(
                video,
                seed,
                wh,
                footage=kind,
                truth=truth,
                fps=fps,
                seconds=seconds,
                overwrite=overwrite,
                progress=progress,
            )
            done = replace(done, video=str(video), truth=None if truth is None else str(truth))
    if json != "-":
        if out is not None:
            tell(f"{out / 'images'}: {count} scenes" + (f" in tiles of {tile} px" if tile else ""))
            tell(f"{out / 'instances.json'}: what they show, in COCO format")
        if video is not None:
            tell(f"{video}: {seconds:g} s at {fps} frames/s")
        if truth is not None:
            tell(f"{truth}: what every frame shows, in COCO format with track ids")
    emit_json(json, SCENES.to_json(done))
