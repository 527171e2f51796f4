"""Where the colour samples of a stream lie between its pixels, by its tag."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_ACROSS, _DOWN = b"\x55\xb7\x81", b"\x55\xb8\x81"
"""ChromaSitingHorz and ChromaSitingVert of Matroska (RFC 9559, 5.1.4.1.28), each a number of one byte."""


def chroma_site(stream: VideoStream) -> tuple[int, int] | None:
    """Return where the colour sample of 2 x 2 pixels lies, as in :class:`yolotrt.data.colours.Colours`.

    PyAV does not hand the tag out. FFmpeg writes it into the header of a Matroska file, so one is made, in
    memory, and read.

    Returns:
        Half pixels right of and below the upper left pixel; None where FFmpeg knows nothing, and for samples
        at the lower pixels, which it does not write. Of H.264 and HEVC without a tag it says what their
        standards do, left.
    """
    import av

    written = io.BytesIO()
    with suppress(av.FFmpegError, ValueError), av.open(written, "w", format="matroska") as sink:
        sink.add_stream_from_template(stream)
        sink.start_encoding()
    header = written.getvalue()
    places = [header.find(element) for element in (_ACROSS, _DOWN)]
    if min(places) < 0:
        return None
    across, down = (header[place + len(_ACROSS)] - 1 for place in places)
    return (across, down) if 0 <= across <= 1 and 0 <= down <= 1 else None
