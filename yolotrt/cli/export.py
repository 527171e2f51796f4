"""``yolotrt export``: Ultralytics weights to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.calibration_images import may_fetch
from yolotrt.cli.console import emit_json, progress_bars, say, tell, warn
from yolotrt.cli.options import ENGINES, Force, ImageSize, JsonTarget, Trust, Yes, choice, image_size
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.errors import UsageError
from yolotrt.text import shell_words


def export(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[WEIGHTS]",
            help="Ultralytics weights (.pt; its own are fetched by name), or a model .yaml (untrained). "
            "[default: yolo26n-seg.pt]",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="ONNX file. [default: engines/NAME.onnx]")
    ] = None,
    imgsz: ImageSize = "640",
    head: Annotated[
        str, typer.Option(help="auto, end2end (no NMS, where the network has it) or raw.")
    ] = "auto",
    yes: Yes = False,
    trust: Trust = False,
    force: Force = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Export weights to ONNX: batch dynamic, height and width fixed, slimmed and compared with torch.

    \b
    Examples:
      yolotrt export yolo26n-seg.pt
      yolotrt export yolo11n-seg.pt -o engines/street.onnx --imgsz 640
      yolotrt export yolo26n-seg.pt --head raw
      yolotrt export yolo11n-seg.pt --imgsz 384x640
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.model.export import HEADS
    from yolotrt.model.export import export as run
    from yolotrt.model.exported import EXPORTED, default_target
    from yolotrt.workflow.catalog import find_model
    from yolotrt.workflow.replies import EXPORTED as REPLY
    from yolotrt.workflow.replies import Exported

    weights = find_model(model, ENGINES, may_fetch=may_fetch(yes), say=say)
    if weights.suffix == ".onnx":
        raise UsageError(f"{weights} is exported already.", hint=f"yolotrt build {shell_words(str(weights))}")
    chosen = choice(head, "--head", HEADS)
    target = output or default_target(weights, ENGINES)
    outputs = [Output("-o", target, EXPORTED), json_output(json, REPLY.kind)]
    claim_outputs(outputs, weights, overwrite=overwrite)
    with progress_bars() as progress:
        result = run(
            weights,
            target,
            imgsz=image_size(imgsz),
            head=chosen,
            force=force,
            overwrite=overwrite,
            trust=trust,
            progress=progress,
            on_wait=say,
        )
    if result.untrained:
        warn(f"{weights.name} is a model description: the exported network is UNTRAINED and finds nothing.")
    spec = result.spec
    how = (
        "up to date"
        if result.difference is None
        else f"differs from torch by {result.difference:.1e} relative"
    )
    if json != "-":
        width, height = spec.input_wh
        size = width if width == height else f"{width}x{height}"
        tell(f"{result.path}: {spec.head} head, {len(spec.names)} classes, {size} px, {how}")
    done = Exported(
        path=str(result.path),
        key=result.key,
        head=spec.head,
        classes=len(spec.names),
        input_wh=spec.input_wh,
        cached=result.cached,
        untrained=result.untrained,
        difference_to_torch=result.difference,
    )
    emit_json(json, REPLY.to_json(done))
