"""HTTP transfers that survive bad servers: time limits, retries with back-off, ranges and resume.

The only place where a connection is made. httpx's exceptions end here, as :class:`TransferFailed`. Proxy
variables (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``) and ``SSL_CERT_FILE`` are honoured.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TypeVar

import httpx

from yolotrt.artifacts.files import mapped_os_errors
from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.proxy import proxy_of
from yolotrt.data.fetch.response import (
    Again,
    Piece,
    Resource,
    TransferFailed,
    range_headers,
    range_start,
    require_good,
    require_piece,
    resource_of,
)
from yolotrt.data.fetch.resume import Moved, belongs, earlier_version, restart
from yolotrt.distribution import __version__
from yolotrt.errors import EnvironmentFault
from yolotrt.timing.trace import now

T = TypeVar("T")
_REAL_PROGRESS = 256 << 10
"""A failure after this many new bytes does not count as one more in a row."""

_FIRST_CONTACT = 2
"""Attempts to reach a machine when none has been reached yet: there is probably no network at all."""

_SLOWEST = 1024
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class TransferSettings:
    """How patient and how parallel transfers are.

    Attributes:
        connections: Requests at the same time.
        attempts: Failures in a row before giving up.
        backoff_s: Pause after the first failure; it doubles with each further one, up to 30 s.
        connect_s: Longest time to open a connection.
        stall_s: Longest silence, and the time in which at least 1 KiB must arrive.
    """

    connections: int = 8
    attempts: int = 5
    backoff_s: float = 0.5
    connect_s: float = 10.0
    stall_s: float = 30.0


class Stopped(Exception):
    """The work was called off; never shown to anybody."""


class Http:
    """A client for one run; its methods may be called by several threads.

    Args:
        settings: Patience and parallelism.
        stop: When set, transfers end with :class:`Stopped` at the next bytes.
    """

    def __init__(self, settings: TransferSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._lock = threading.Lock()
        self._reached = False
        self.received = 0
        """Bytes of bodies that arrived, discarded ones included."""
        most = settings.connections
        try:
            self._client = httpx.Client(
                timeout=httpx.Timeout(settings.stall_s, connect=settings.connect_s, pool=None),
                limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
                # Ranges and lengths are those of the stored bytes: nothing may be compressed on the way.
                headers={"User-Agent": f"yolotrt/{__version__}", "Accept-Encoding": "identity"},
                follow_redirects=True,
            )
        except (ValueError, ImportError, OSError, httpx.InvalidURL) as exc:
            raise EnvironmentFault(
                f"The proxy or certificate variables of this environment cannot be used ({exc}).",
                hint="Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE.",
            ) from exc

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def probe(self, url: str) -> Resource:
        """Ask for a file's first byte to learn its size and whether it can be had in parts.

        Raises:
            TransferFailed: The server cannot be reached or refuses.
        """

        def attempt() -> Resource:
            with self._stream(url, range_headers(0, 0, None)) as response:
                resource = resource_of(response)
                # A body that was read to its end leaves the connection open for the next request.
                if resource.ranges and sum(map(len, islice(self._chunks(response), 2))) != 1:
                    raise Again("one byte was asked for, and something else came")
                return resource

        return self._persist(url, attempt, lambda: 0)

    def read(self, url: str, piece: Piece) -> bytes:
        """Return a short piece of a file.

        Raises:
            TransferFailed: As for :meth:`probe`; ``changed`` when the file is no longer the same.
        """

        def attempt() -> bytes:
            last = piece.first + piece.length - 1
            with self._stream(url, range_headers(piece.first, last, piece.resource.version)) as response:
                require_piece(url, response, piece, 0)
                data = bytearray()
                for chunk in self._chunks(response):
                    data += chunk
                    if len(data) > piece.length:
                        break
            if len(data) != piece.length:
                raise Again(f"{len(data)} instead of {piece.length} bytes arrived")
            return bytes(data)

        return self._persist(url, attempt, lambda: 0) if piece.length else b""

    def download(
        self, url: str, partial: Partial, moved: Moved, *, limit: int, piece: Piece | None = None
    ) -> Resource:
        """Bring a file, or a piece of one, into ``partial``, continuing what is already there.

        Args:
            url: The file.
            partial: Collects the bytes; kept when the transfer fails, so that the next run continues.
            moved: Told by how much ``partial`` grows or shrinks from here on.
            limit: Most bytes to accept.
            piece: What to fetch; None for the whole file.

        Returns:
            What the server said of the file.

        Raises:
            TransferFailed: It could not be had completely.
            StorageError: The bytes cannot be written.
        """
        return self._persist(
            url, lambda: self._download_once(url, partial, moved, limit, piece), lambda: partial.size
        )

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: The work was called off meanwhile.
        """
        if self._stop.wait(seconds):
            raise Stopped

    def _download_once(
        self, url: str, partial: Partial, moved: Moved, limit: int, piece: Piece | None
    ) -> Resource:
        first, length = (piece.first, piece.length) if piece else (0, None)
        have = partial.size
        earlier = earlier_version(partial, url, first, length) if have else None
        if have and earlier is None:
            restart(partial, moved)
            have = 0
        if earlier is not None and have == (length if piece else earlier.total):
            return earlier
        if piece:
            headers = range_headers(first + have, first + piece.length - 1, piece.resource.version)
        else:
            headers = range_headers(have, None, earlier.version) if earlier and have else {}
        try:
            with self._stream(url, headers) as response:
                if piece:
                    require_piece(url, response, piece, have)
                return self._collect(url, response, partial, moved, limit, piece)
        except TransferFailed as exc:
            if exc.status == 416 and piece is None and have:
                restart(partial, moved)
                raise Again("it is shorter than what was there already") from exc
            raise

    def _collect(
        self,
        url: str,
        response: httpx.Response,
        partial: Partial,
        moved: Moved,
        limit: int,
        piece: Piece | None,
    ) -> Resource:
        """Write the body behind the bytes already there, or from the start if it is the whole file."""
        resource = resource_of(response)
        first, expected = (piece.first, piece.length) if piece else (0, resource.total)
        start = range_start(response) if response.status_code == 206 else first
        have = partial.size
        if have and (start != first + have or not belongs(partial, resource)):
            restart(partial, moved)
            have = 0
        if start != first + have:
            raise Again("another part or version than asked for was sent")
        if expected is not None and expected > limit:
            raise Again(f"{expected:,} bytes are announced; at most {limit:,} make sense")
        origin = {"url": url, "first": first, "length": piece and piece.length, **asdict(resource)}
        with mapped_os_errors(partial.path), partial.appending(origin, expected) as append:
            for chunk in self._chunks(response):
                have = append(chunk)
                moved(len(chunk))
                if have > limit:
                    break
        if have > (limit if expected is None else expected):
            restart(partial, moved)
            raise Again("more bytes arrived than were announced")
        if expected is not None and have < expected:
            raise Again(f"{have:,} of {expected:,} bytes arrived")
        return resource

    @contextmanager
    def _stream(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Open a response whose status is good; map everything httpx raises while it is read."""
        if self._stop.is_set():
            raise Stopped
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._reached = True
                require_good(url, response)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as exc:
            raise Again(_no_contact(url, exc), why="unreachable") from exc
        except httpx.TimeoutException as exc:
            raise Again(f"nothing arrived for {self._settings.stall_s:g} s") from exc
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL, UnicodeError) as exc:
            # UnicodeError: a host name that cannot be encoded, which httpx leaves as it is.
            raise TransferFailed(f"{url} cannot be followed ({exc}).", why="refused") from exc
        except httpx.HTTPError as exc:
            raise Again(str(exc) or type(exc).__name__) from exc

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """Give the body as it arrives; end a transfer that only drips."""
        since, arrived = now(), 0
        for chunk in response.iter_raw():
            if self._stop.is_set():
                raise Stopped
            with self._lock:
                self.received += len(chunk)
            arrived += len(chunk)
            if now() - since > self._settings.stall_s * 1e9:
                if arrived < _SLOWEST:
                    raise Again(f"only {arrived} bytes arrived in {self._settings.stall_s:g} s")
                since, arrived = now(), 0
            yield chunk

    def _persist(self, url: str, attempt: Callable[[], T], size: Callable[[], int]) -> T:
        """Repeat ``attempt`` with growing pauses until it succeeds or stops getting anywhere."""
        failures = 0
        while True:
            before = size()
            try:
                return attempt()
            except Again as exc:
                failures = 1 if size() - before >= _REAL_PROGRESS else failures + 1
                hopeless = exc.why == "unreachable" and not self._reached and failures >= _FIRST_CONTACT
                if hopeless or failures >= self._settings.attempts:
                    message = f"{url} could not be fetched: {exc.reason} ({failures} attempts)."
                    raise TransferFailed(message, why=exc.why) from exc
                pause = self._settings.backoff_s * 2 ** (failures - 1)
                self.pause(min(_LONGEST_PAUSE_S, max(pause, exc.wait_s)))


def _no_contact(url: str, exc: httpx.TransportError) -> str:
    """Say why there is no connection, and whether it is a proxy that did not give one."""
    reason = str(exc) or "no answer"
    proxy = proxy_of(url)
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLError):  # the machine behind the proxy was reached
            return reason
        cause = cause.__cause__ or cause.__context__
    return f"the proxy {proxy.address} of {proxy.variable} refused ({reason})" if proxy else reason
