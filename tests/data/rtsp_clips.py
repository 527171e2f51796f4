"""A local RTSP camera that plays a video as it is encoded, H.264 or HEVC, again and again, without ffmpeg.

    python -m tests.data.rtsp_clips CLIP.mp4 PORT [--log SENT.jsonl]

The log has a line for each frame that was sent: its number in the clip, its time stamp in seconds since
playing began, and when it was sent, seconds since 1970.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av

PACKET_BYTES = 1400
_RTCP = range(200, 205)
"""Second bytes of RTCP packets; RTP's are payload types (RFC 5761)."""


class ClipCamera:
    """Answers OPTIONS, DESCRIBE, SETUP and PLAY (RFC 2326); whoever plays gets the clip from its beginning.

    Packets go within the connection, each behind ``$``, channel and length (section 10.12).

    Args:
        clip: An MP4 file of H.264 or HEVC.
        port: 0 takes a free one.
        sent: Told of each frame: its number in the clip, its time stamp, seconds, and when it was sent.

    Attributes:
        address: What to open.
    """

    def __init__(
        self, clip: Path, port: int = 0, sent: Callable[[int, float, float], None] = lambda *_: None
    ) -> None:
        self._clip, self._sent, self._off = clip, sent, threading.Event()
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, av.FFmpegError):  # who plays has gone
                    camera._talk(self.rfile, self.connection.sendall)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self.address = f"rtsp://127.0.0.1:{self.port}/main"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def off(self) -> None:
        """Close every connection and listen no more."""
        self._off.set()
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, requests: Any, send: Callable[[bytes], None]) -> None:
        while line := requests.readline().decode():
            if not line.strip():
                continue
            sequence = "0"
            while header := requests.readline().decode().strip():
                name, _, value = header.partition(":")
                sequence = value.strip() if name.lower() == "cseq" else sequence
            method, body = line.split()[0], b""
            more = {"PLAY": "Session: 7\r\n", "OPTIONS": "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"}.get(
                method, ""
            )
            if method == "DESCRIBE":
                body = description(self._clip).encode()
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n"
            send(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{more}\r\n".encode() + body)
            if method == "PLAY":
                self._play(send)
                return

    def _play(self, send: Callable[[bytes], None]) -> None:
        """Send frames at their times until the camera goes off."""
        begin = time.monotonic()
        with av.open(str(self._clip)) as container:
            template = container.streams.video[0]
            options = {"packetsize": str(PACKET_BYTES), "payload_type": "96"}
            with av.open(_Interleaved(send), "w", format="rtp", options=options) as sink:
                stream = sink.add_stream_from_template(template)
                for number, shown, at, packet in _for_ever(self._clip):
                    if self._off.wait(max(0.0, begin + at - time.monotonic())):
                        return
                    packet.stream = stream
                    self._sent(number, shown, time.time())
                    sink.mux(packet)


class _Interleaved:
    """A file in which each write is a packet that goes into an RTSP connection."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def write(self, data: Any) -> int:
        packet = bytes(data)
        self._send(b"$" + bytes([packet[1] in _RTCP]) + struct.pack(">H", len(packet)) + packet)
        return len(packet)


def _for_ever(clip: Path) -> Iterator[tuple[int, float, float, Any]]:
    """Give a clip's packets again and again: number, when it is shown and sent, seconds, and the packet."""
    shift = 0
    while True:
        with av.open(str(clip)) as container:
            packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        first = packets[0].dts or 0
        order = sorted(range(len(packets)), key=lambda k: packets[k].pts or 0)
        number = {k: place for place, k in enumerate(order)}
        step = packets[0].duration or 1
        for k, packet in enumerate(packets):
            packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
            base = packet.time_base
            yield number[k], float(packet.pts * base), float((packet.dts - first) * base), packet
        shift += step * len(packets)


def description(clip: Path) -> str:
    """Return what the stream holds (SDP, with the parameter sets of RFC 6184 and RFC 7798)."""
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        codec, head = context.name, bytes(context.extradata or b"")
    if codec == "h264":
        name, rest, sets = "H264", head[5:], []
        for _ in range(2):  # sequence and picture parameter sets (ISO/IEC 14496-15, 5.3.3.1)
            count, rest = rest[0] & 31, rest[1:]
            for _ in range(count):
                size = int.from_bytes(rest[:2], "big")
                sets.append(base64.b64encode(rest[2 : 2 + size]).decode())
                rest = rest[2 + size :]
        told = f"packetization-mode=1; sprop-parameter-sets={','.join(sets)}"
    else:
        name, rest, kinds = "H265", head[23:], {32: "vps", 33: "sps", 34: "pps"}
        found = []
        for _ in range(head[22]):  # arrays of parameter sets (8.3.3.1)
            kind, count, rest = rest[0] & 63, int.from_bytes(rest[1:3], "big"), rest[3:]
            for _ in range(count):
                size = int.from_bytes(rest[:2], "big")
                if kind in kinds:
                    found.append(f"sprop-{kinds[kind]}={base64.b64encode(rest[2 : 2 + size]).decode()}")
                rest = rest[2 + size :]
        told = "; ".join(found)
    lines = (
        "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=clip", "t=0 0", "m=video 0 RTP/AVP 96",
        f"a=rtpmap:96 {name}/90000", f"a=fmtp:96 {told}", "a=control:track0", "",
    )  # fmt: skip
    return "\r\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args(arguments)
    log = options.log.open("a", encoding="utf-8", buffering=1) if options.log else None

    def sent(number: int, shown_s: float, at: float) -> None:
        if log is not None:
            log.write(json.dumps([number, shown_s, at]) + "\n")

    camera = ClipCamera(options.clip, options.port, sent)
    print(camera.address, flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
