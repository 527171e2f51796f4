"""Options of verbs that work in several processes or on several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.scale.run import Workers

WorkerCount = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=4096, help="Workers. [default: one for each core or GPU]"),
]
Gpus = Annotated[
    str | None,
    typer.Option(
        "--gpus", metavar="all|0,1", help="Workers on GPUs, one on each unless --workers says more."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|ADDRESS|local",
        help="Workers are actors of Ray: in the cluster that this machine is part of, in another, or in one "
        "that ends with the command. [default: processes of this machine]",
    ),
]


def chosen_workers(count: int | None, gpus: str | None, ray: str | None, device: str) -> Workers:
    """Return who works.

    Raises:
        UsageError: The GPUs are no numbers, or a device was named beside them.
    """
    from yolotrt.backends.placement import require_device
    from yolotrt.scale.run import Workers

    if gpus is not None and device != "auto":
        raise UsageError("--gpus and --device both say where engines run.", hint="Leave one of them out.")
    if gpus is None or gpus == "all":
        return Workers(count, all_gpus=gpus == "all", ray=ray)
    numbers = require_device(gpus)
    if numbers is None:
        raise UsageError(f"--gpus {gpus!r} names no GPU.", hint="Like this: --gpus all, or --gpus 0,1")
    return Workers(count, numbers, ray=ray)
