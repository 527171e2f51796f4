"""What an HTTP response says of the file it carries, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import httpx

from yolotrt.errors import DownloadError

Why = Literal["unreachable", "refused", "broken", "changed"]

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_NUMBER = re.compile(r"\d{1,18}")


class TransferFailed(DownloadError):
    """A transfer ended without its file.

    Attributes:
        why: ``unreachable`` (no connection), ``refused`` (the server said no), ``broken`` (connections
            or data kept failing), ``changed`` (it is another file than before, or cannot be had in parts).
        status: The HTTP status, when there was one.
    """

    def __init__(self, message: str, *, why: Why, status: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.why = why
        self.status = status


class Again(Exception):
    """An attempt failed in a way that another one may not; never leaves this group of modules.

    Attributes:
        reason: What happened, in a few words.
        why: As in :class:`TransferFailed`.
        wait_s: How long the server asked to wait.
    """

    def __init__(self, reason: str, *, why: Why = "broken", wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.why = why
        self.wait_s = wait_s


@dataclass(frozen=True)
class Resource:
    """A remote file, as its server describes it.

    Attributes:
        total: Size in bytes, or None when the server does not say.
        ranges: Whether parts of it can be asked for.
        version: A strong ETag or the modification date; None when there is neither.
        md5: MD5 of its bytes where the server is known to publish it, 32 hex digits.
    """

    total: int | None
    ranges: bool
    version: str | None
    md5: str | None


@dataclass(frozen=True)
class Piece:
    """Consecutive bytes of a remote file.

    Attributes:
        resource: The file as it was probed.
        first: Offset of the first byte.
        length: Number of bytes.
    """

    resource: Resource
    first: int
    length: int


def require_good(url: str, response: httpx.Response) -> None:
    """Accept 200 and 206 with the stored bytes, and nothing else.

    Raises:
        Again: The server is busy or failed for the moment.
        TransferFailed: It refuses.
    """
    status = response.status_code
    if status in _TRANSIENT:
        seconds = response.headers.get("Retry-After", "")
        raise Again(f"HTTP {status}", wait_s=float(seconds) if _NUMBER.fullmatch(seconds) else 0.0)
    if status not in (200, 206):
        why: Why = "changed" if status == 416 else "refused"
        raise TransferFailed(f"{url}: HTTP {status} {response.reason_phrase}.", why=why, status=status)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise TransferFailed(f"{url} was sent {encoding}-encoded although not asked to.", why="refused")


def require_piece(url: str, response: httpx.Response, piece: Piece, have: int) -> None:
    """Check that a response continues ``piece`` behind its first ``have`` bytes.

    Raises:
        TransferFailed: It is another part, another version, or the whole file.
    """
    if response.status_code != 206 or range_start(response) != piece.first + have:
        raise TransferFailed(f"{url} changed while it was read, or cannot be had in parts.", why="changed")
    if resource_of(response).total not in (None, piece.resource.total):
        raise TransferFailed(f"{url} changed its size while it was read.", why="changed")


def range_headers(first: int, last: int | None, version: str | None) -> dict[str, str]:
    """Return the request headers for bytes ``first`` to ``last`` (None: to the end) of one version."""
    headers = {"Range": f"bytes={first}-{'' if last is None else last}"}
    if version is not None:
        headers["If-Range"] = version
    return headers


def range_start(response: httpx.Response) -> int | None:
    """Return the offset of the body's first byte in the file, if the response says so."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def resource_of(response: httpx.Response) -> Resource:
    """Return what a response says of its file."""
    headers = response.headers
    part = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "")) if response.status_code == 206 else None
    size = part[2] if part else headers.get("Content-Length", "")
    etag = headers.get("ETag", "")
    # A weak ETag does not guarantee the same bytes, so it is no version to continue with (RFC 9110, 13.1.5).
    strong = etag if etag.startswith('"') else None
    return Resource(
        total=int(size) if _NUMBER.fullmatch(size) else None,
        ranges=part is not None,
        version=strong or headers.get("Last-Modified"),
        md5=_s3_md5(headers),
    )


def _s3_md5(headers: httpx.Headers) -> str | None:
    """Return the MD5 that Amazon S3 uses as ETag.

    S3 documents the ETag as the MD5 of objects that were stored in one part and are not encrypted with
    KMS or customer keys; objects of several parts have a dash in theirs.
    """
    match = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("ETag", ""))
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    return match[1] if match and headers.get("Server") == "AmazonS3" and not (encrypted or own_key) else None
