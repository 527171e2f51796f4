"""Where the frames of videos and streams are decoded: where they are processed, if that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from yolotrt.data.packets import OnGpu
from yolotrt.data.video import MovingSource, decode_on_gpu
from yolotrt.data.video_decoders import Decoder
from yolotrt.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from yolotrt.cuda.device import Device


def decode_where_processed(
    sources: Iterable[MovingSource], decoder: Decoder, gpu: Device | None, note: Callable[[str], None]
) -> None:
    """Have videos and streams decoded on the GPU that processes their frames.

    Args:
        sources: Not opened yet.
        decoder: ``nvdec`` makes it an error if that cannot be; ``auto`` leaves it to the processor then.
        gpu: The GPU; None on a processor, or with several.
        note: Told why the processor decodes.

    Raises:
        UsageError: There is no such GPU.
        EnvironmentFault: Its decoder cannot be used here.
    """
    if decoder not in ("auto", "nvdec"):
        return
    required = decoder == "nvdec"
    if gpu is None:
        if required:
            raise UsageError(
                "--decoder nvdec wants frames processed on one GPU.", hint="Like this: --device cuda:0"
            )
        return
    from yolotrt.cuda.nvdec import Nvdec, library

    try:
        library()
    except EnvironmentFault as exc:
        if required:
            raise
        note(f"the processor decodes: {exc.message}")
        return
    decode_on_gpu(sources, lambda live: OnGpu(lambda: Nvdec(gpu, live=live), required=required, note=note))
