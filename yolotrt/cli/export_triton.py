"""``yolotrt export-triton``: a model repository for NVIDIA Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import note, say, tell, warn
from yolotrt.cli.detecting import Detecting, with_detecting
from yolotrt.cli.options import Device, Trust
from yolotrt.cli.outputs import Overwrite
from yolotrt.errors import UsageError


@with_detecting
def export_triton(
    *,
    targets: Annotated[
        list[Path], typer.Argument(metavar="ENGINE... REPOSITORY", help="Engines, and the folder to write.")
    ],
    instances: Annotated[
        int, typer.Option("--instances", min=1, help="How many of a model run side by side, on each GPU.")
    ] = 1,
    detecting: Detecting,
    device: Device = "auto",
    trust: Trust = False,
    overwrite: Overwrite = False,
) -> None:
    r"""Write a model repository for NVIDIA Triton: the networks, and models that take whole frames.

    Each engine becomes two models. NAME is the network as it is: tensors in, tensors out, batched by Triton
    where the engine takes every batch size. NAME-frames takes a frame (FRAME, height x width x 3, uint8,
    BGR), cuts it, calls NAME and merges: BOXES, SCORES, CLASSES, MASKS (COCO run lengths). It belongs to the
    Python backend, whose Python needs yolotrt.

    \b
    Examples:
      yolotrt export-triton engines/m.int8.tensorrt.engine repository/
      yolotrt export-triton engines/m.fp32.onnxruntime.onnx repository/ --device cpu --instances 2
    """
    from yolotrt.artifacts.claims import require_apart
    from yolotrt.backends.admission import admit
    from yolotrt.backends.placement import require_device
    from yolotrt.scale.triton import export

    *engines, repository = targets
    if not engines:
        raise UsageError(
            "Name engines, and then the repository.", hint="yolotrt export-triton ENGINE repository/"
        )
    gpus = require_device(device)
    settings = detecting.settings()
    require_apart("REPOSITORY", repository, engines)
    files = [admit(engine, trust=trust, warn=warn) for engine in engines]
    for written in export(
        files,
        repository,
        settings,
        instances=instances,
        gpus=gpus or (),
        on_cpu=device == "cpu",
        overwrite=overwrite,
    ):
        tell(f"{written.network}")
        tell(f"{written.frames}")
        for remark in written.notes:
            note(remark)
    say(f"repository: {repository}   (tritonserver --model-repository={repository})")
