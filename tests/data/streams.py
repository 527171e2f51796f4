"""Local cameras made with ffmpeg: MPEG-TS over plain TCP, and RTSP."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from importlib import util
from pathlib import Path

import pytest


def _find_ffmpeg() -> str | None:
    """Return the system's ffmpeg, or that of the imageio-ffmpeg package."""
    if (found := shutil.which("ffmpeg")) is None and util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    return found


FFMPEG = _find_ffmpeg()
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg here (pip install imageio-ffmpeg)")


def ffmpeg(*arguments: str, size: str = "160x128") -> subprocess.Popen[bytes]:
    """Start to encode a test pattern of 25 frames a second, in real time."""
    pattern = ("-f", "lavfi", "-i", f"testsrc=size={size}:rate=25")
    command = [str(FFMPEG), "-y", "-loglevel", "error", "-re", *pattern, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


class Camera:
    """Streams a test pattern; it can stall, go off, and come back with another size.

    Attributes:
        address: What to open.
    """

    address = ""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def on(self, size: str) -> None:
        """Start to stream."""
        raise NotImplementedError

    def stall(self) -> None:
        """Stop sending; connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def off(self) -> None:
        """End the stream and close every connection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


class TcpCamera(Camera):
    """MPEG-TS over TCP, served by ffmpeg itself."""

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        self.address = f"tcp://127.0.0.1:{self.port}"

    def on(self, size: str) -> None:
        """Start to listen; the stream begins when somebody connects."""
        target = f"{self.address}?listen=1"
        self._process = ffmpeg("-c:v", "mpeg2video", "-g", "5", "-f", "mpegts", target, size=size)


class RtspCamera(Camera):
    """Just enough of an RTSP server (RFC 2326) to play one stream within its TCP connection.

    ffmpeg makes the packets (RTP over UDP, to this process); the server answers OPTIONS, DESCRIBE, SETUP and
    PLAY, and sends the packets on, each behind ``$``, channel and length (section 10.12).

    Attributes:
        requests: The methods that clients sent.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.requests: list[str] = []
        self._packets: socket.socket | None = None
        self._server: socketserver.ThreadingTCPServer | None = None
        self.address = f"rtsp://127.0.0.1:{self.port}/main"

    def on(self, size: str) -> None:
        """Start to stream; returns when the stream can be opened."""
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(("127.0.0.1", 0))
        description = self._folder / f"{size}.sdp"
        description.unlink(missing_ok=True)
        target = f"rtp://127.0.0.1:{self._packets.getsockname()[1]}"
        codec = ("-c:v", "mpeg4", "-pix_fmt", "yuv420p", "-g", "5")
        self._process = ffmpeg(*codec, "-f", "rtp", "-sdp_file", str(description), target, size=size)
        deadline = time.monotonic() + 20
        while not (description.exists() and "m=video" in description.read_text()):
            assert time.monotonic() < deadline, "ffmpeg did not describe its stream"
            time.sleep(0.02)
        self._serve(description.read_text())

    def off(self) -> None:
        """End the stream and close every connection."""
        super().off()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._packets is not None:
            self._packets.close()
            self._packets = None

    def _serve(self, description: str) -> None:
        camera, packets = self, self._packets
        assert packets is not None
        packets.settimeout(0.2)
        # Where RTP goes is settled by SETUP; here the description only says what is in it.
        lines = [line for line in description.splitlines() if not line.startswith(("SDP:", "c="))]
        body = "\r\n".join([*lines, "a=control:track0", ""]).encode()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while line := self.rfile.readline().decode():
                        if not line.strip():
                            continue
                        method = line.split()[0]
                        headers = {}
                        while (header := self.rfile.readline().decode().strip()) != "":
                            name, _, value = header.partition(":")
                            headers[name.lower()] = value.strip()
                        camera.requests.append(method)
                        self._answer(method, headers)
                        if method == "PLAY":
                            self._play()

            def _answer(self, method: str, headers: dict[str, str]) -> None:
                extra = {
                    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
                    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
                    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n",
                    "PLAY": "Session: 7\r\n",
                }.get(method, "")
                head = f"RTSP/1.0 200 OK\r\nCSeq: {headers.get('cseq', '0')}\r\n{extra}\r\n"
                self.wfile.write(head.encode() + (body if method == "DESCRIBE" else b""))

            def _play(self) -> None:
                while camera._packets is packets:
                    try:
                        packet = packets.recv(65_536)
                    except TimeoutError:
                        continue
                    self.wfile.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
