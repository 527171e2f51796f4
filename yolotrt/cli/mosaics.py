"""``yolotrt mosaics``: large annotated frames made of small annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, tell, warn
from yolotrt.cli.options import AnnotatedImages, Annotations, JsonTarget, SplitOption, choice, width_height
from yolotrt.cli.outputs import Overwrite, claim_outputs, in_folder, json_output


def mosaics(
    annotations: Annotations,
    out: Annotated[
        Path, typer.Option("-o", "--output", "--out", help="Folder for images/ and instances.json.")
    ],
    images: AnnotatedImages = None,
    split: SplitOption = "val",
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height of a frame, px.")] = "3840x2160",
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another layout.")] = 0,
    single: Annotated[
        bool, typer.Option("--single", help="Enlarge each image to a frame of its own instead.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="Use only the first images.")
    ] = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Compose annotated images, COCO's for example, into large frames whose annotations move along.

    The way to measure on real pictures what tiling buys and costs. The same images, size and seed give
    the same frames.

    \b
    Examples:
      yolotrt mosaics --images coco/val --annotations coco/instances.json --out mosaics/
      yolotrt mosaics --annotations mydata/data.yaml --out mosaics/
      yolotrt eval ENGINE --images mosaics/images --annotations mosaics/instances.json --mode tiled+global
    """
    from yolotrt.data.formats.reader import SPLITS, require_images
    from yolotrt.evaluation.groundtruth import load_ground_truth
    from yolotrt.evaluation.mosaic import write_mosaics
    from yolotrt.workflow.replies import MOSAICS, Mosaics

    places = in_folder("--out", out)
    claim_outputs([json_output(json, MOSAICS.kind)], images, annotations, overwrite=overwrite, folders=places)
    wh = width_height(size, "--size")
    choice(split, "--split", SPLITS)
    require_images(annotations, images)
    truth = load_ground_truth(annotations, images, split=split, limit=limit)
    for note in truth.notes:
        warn(note)
    with progress_bars() as progress:
        written = write_mosaics(
            truth, images, out, frame_wh=wh, seed=seed, single=single, overwrite=overwrite, progress=progress
        )
    frames = sum(1 for _ in (out / "images").glob("mosaic*.jpg"))
    if json != "-":
        tell(f"{out / 'images'}: {frames} frames of {len(truth.images)} images")
        tell(f"{written}: their annotations")
    done = Mosaics(str(out / "images"), str(written), frames, wh, seed, tuple(truth.notes))
    emit_json(json, MOSAICS.to_json(done))
