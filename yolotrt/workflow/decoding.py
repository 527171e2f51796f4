"""Where the frames of videos and streams are decoded: where they are processed, if that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from yolotrt.data.packets import OnGpu
from yolotrt.data.video import FileSource, MovingSource, decode_on_gpu
from yolotrt.data.video_decoders import Decoder
from yolotrt.errors import EnvironmentFault, UsageError, YoloTrtError

if TYPE_CHECKING:
    from yolotrt.pipeline.tiled import TiledPipeline


def decode_where_processed(
    sources: Iterable[MovingSource], decoder: Decoder, pipeline: TiledPipeline, note: Callable[[str], None]
) -> None:
    """Have videos and streams decoded on the GPU that processes their frames.

    Args:
        sources: Not opened yet.
        decoder: ``nvdec`` makes it an error if that cannot be; ``auto`` leaves it to the processor then.
        pipeline: Processes their frames.
        note: Told why the processor decodes.

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

    decode_on_gpu(sources, lambda live: OnGpu(lambda: Nvdec(gpu, live=live), required, once, may_decode))


def warm_up(pipeline: TiledPipeline, sources: Sequence[MovingSource]) -> None:
    """Have a pipeline on GPUs make what frames of a file need, which takes it a second or two.

    Otherwise frames are dropped meanwhile. The first file's first frame is processed in each place that a frame
    in flight may have, which gets room for its masks then, and read again later. What is wrong with it is told
    then.
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
