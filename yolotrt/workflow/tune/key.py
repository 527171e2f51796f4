"""What the findings of a search hold for: engines, pictures and annotations by content, and the machine."""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.arrays import Frame
from yolotrt.backends.base import EngineFile
from yolotrt.backends.placement import place
from yolotrt.cuda.machine import HERE, Machine
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.machine.environment import environment
from yolotrt.workflow.tune.request import TuneRequest


def search_key(
    request: TuneRequest,
    files: Sequence[EngineFile],
    frames: Sequence[Frame],
    truth: GroundTruth | None,
    machine: Machine = HERE,
) -> dict[str, object]:
    """Return what must be the same for a search to be continued, by names that a person reads.

    Args:
        request: The search.
        files: The engines.
        frames: What they are timed on.
        truth: The annotated images; None if no accuracy is measured.
        machine: Whose GPUs they are timed on.

    Raises:
        InputError: An annotated image is missing.
    """
    about = environment(request.sweep.threads, _card(request, files, machine))
    return {
        "engines": {f.path.name: f.sha256 for f in files},
        "machine": {k: getattr(about, k) for k in ("cpu", "cores", "threads", "yolotrt")},
        "GPU": about.gpu and about.gpu.name,
        "passes": list(request.sweep.modes),
        "overlap": request.sweep.overlap,
        "frame sizes": [list(frame.shape) for frame in frames],
        "pictures": [digest for _, digest in request.pictures],
        "annotated images": None if truth is None else truth.key(request.images),
        "device": request.device,
    }


def _card(request: TuneRequest, files: Sequence[EngineFile], machine: Machine) -> str | None:
    """Return where the first GPU sits that an engine will run on; None if all run on the processor."""
    gpus = [index for file in files for index in place(file, request.device).gpus]
    return machine.gpu(gpus[0]).info.pci_bus_id if gpus else None
