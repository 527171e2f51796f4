"""Where the frames of videos and streams are decoded: where they are processed, if that can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from yolotrt.data.packets import GpuDecoder, OnGpu
from yolotrt.data.video import FileSource, MovingSource, decode_on_gpu
from yolotrt.data.video_decoders import Decoder
from yolotrt.errors import EnvironmentFault, UsageError, YoloTrtError

if TYPE_CHECKING:
    from yolotrt.cuda.device import Device
    from yolotrt.pipeline.tiled import TiledPipeline

_PART = 0.25
"""Of the GPU's free memory, for frames that are decoded before they are wanted."""


def decode_where_processed(
    sources: Sequence[MovingSource],
    decoder: Decoder,
    pipeline: TiledPipeline,
    note: Callable[[str], None],
    *,
    hurry: bool = False,
) -> None:
    """Have videos and streams decoded on the GPU that processes their frames.

    Args:
        sources: Not opened yet.
        decoder: ``nvdec`` makes it an error if that cannot be; ``auto`` leaves it to the processor then.
        pipeline: Processes their frames.
        note: Told why the processor decodes.
        hurry: Frames of a file are wanted as soon as they can be had: one file gets two of the GPU's
            decoders, if it has several, and memory for the frames that wait then.

    Raises:
        UsageError: There is no such GPU.
        EnvironmentFault: Its decoder cannot be used here.
    """
    if decoder not in ("auto", "nvdec"):
        return
    required, gpu, why = decoder == "nvdec", pipeline.gpu, pipeline.wants_host_frames
    if gpu is None:
        if required and why is not None:
            raise UsageError(
                f"With --decoder nvdec frames stay on the GPU, but {why}.",
                hint="Use --tiles all and one GPU, or leave out --decoder nvdec.",
            )
        if required:
            raise UsageError(
                "--decoder nvdec wants frames processed on a GPU.", hint="Like this: --device cuda:0"
            )
        if why is not None:
            note(f"the processor decodes: {why}")
        return
    from yolotrt.cuda.nvdec import Nvdec, library, may_decode
    from yolotrt.data.side_by_side import SideBySide

    try:
        library()
    except EnvironmentFault as exc:
        if required:
            raise
        note(f"the processor decodes: {exc.message}")
        return
    said: set[str] = set()

    def once(text: str) -> None:
        """Tell what every opening of a source would tell again."""
        if text not in said:
            said.add(text)
            note(text)

    def new(live: bool) -> GpuDecoder:
        if live or not hurry or len(sources) > 1:
            return Nvdec(gpu, live=live)
        return SideBySide(lambda: Nvdec(gpu, live=False), partial(two_help, gpu))

    decode_on_gpu(sources, lambda live: OnGpu(lambda: new(live), required, once, may_decode))


def two_help(gpu: Device, nbytes: int) -> bool:
    """Whether two decoders are faster with H.264 than one, and frames of so many bytes find room."""
    from yolotrt.cuda.nvdec import decoders_of

    return decoders_of(gpu, "h264") > 1 and nbytes <= gpu.memory()[0] * _PART


def warm_up(pipeline: TiledPipeline, sources: Sequence[MovingSource]) -> None:
    """Have a pipeline on GPUs make what frames of a file need, which takes it a second or two.

    Otherwise frames are dropped meanwhile. The first file's first frame is processed in each place that a
    frame in flight may have, which gets room for its masks then, and read again later. What is wrong with it
    is told then.
    """
    file = next((source for source in sources if isinstance(source, FileSource)), None)
    if file is None or not pipeline.pci_bus_ids:
        return
    with suppress(YoloTrtError):
        try:
            file.open()
            frame = file.read()
            if frame is None:
                return
            if pipeline.wants_host_frames is not None:  # no camera that is not there is to be served
                pipeline.prepare((frame.shape[1], frame.shape[0]))
                return
            alone = [1] * pipeline.depth
            for count in (*alone, *range(2, min(len(sources), pipeline.most_together) + 1)):
                pipeline.together([(frame, "warm-up")] * count)
        finally:
            file.close()
