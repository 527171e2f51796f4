"""``--metrics``: the figures of a run over HTTP, for Prometheus."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from yolotrt.errors import EnvironmentFault, UsageError

_ADDRESS = re.compile(r"(?P<host>[\w.-]*|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")

_LOOKS_S = 0.05
"""Seconds between two looks whether the block has ended: it waits that long."""

Publish = Callable[[str], None]


def address(text: str) -> tuple[str, int]:
    """Parse ``:9400`` (on localhost) or ``HOST:9400``.

    Raises:
        UsageError: It is neither.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise UsageError(
            f"--metrics {text!r} is not understood.", hint="Like this: --metrics :9400, or 0.0.0.0:9400"
        )
    return found["host"].strip("[]") or "127.0.0.1", int(found["port"])


@contextmanager
def serving(where: tuple[str, int], content_type: str, say: Callable[[str], None]) -> Iterator[Publish]:
    """Serve a text at ``/metrics`` for the block; what is published last is what is read.

    Args:
        where: Host and port; port 0 takes a free one.
        content_type: Of the text.
        say: Told the address.

    Raises:
        EnvironmentFault: The address cannot be used.
    """
    text = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.split("?")[0] in ("/metrics", "/")
            body = text[0] if known else b"see /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", content_type if known else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None:
            """Say nothing: whoever reads every few seconds would fill the screen."""

    try:
        server = ThreadingHTTPServer(where, Handler)
    except OSError as exc:
        raise EnvironmentFault(
            f"Metrics cannot be served at {where[0]}:{where[1]}: {exc.strerror or exc}.",
            hint="Choose another port: --metrics :9401",
        ) from exc
    server.daemon_threads = True
    serve = server.serve_forever
    thread = threading.Thread(target=serve, args=(_LOOKS_S,), name="yolotrt-metrics", daemon=True)
    thread.start()
    say(f"metrics: http://{server.server_address[0]!s}:{server.server_address[1]}/metrics")

    def publish(new: str) -> None:
        text[0] = new.encode()

    try:
        yield publish
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
