"""Find out what kind of source a base URL is, and get the annotations from it."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from yolotrt.artifacts.hashing import sha256_bytes, sha256_file
from yolotrt.data.coco.instances import Instances, read_instances
from yolotrt.data.coco.source import CocoSource, Watch
from yolotrt.data.coco.source_http import HttpSource
from yolotrt.data.coco.source_local import LocalSource
from yolotrt.data.fetch.http import Http, TransferSettings
from yolotrt.errors import ArtifactError, UsageError

_CACHED = "instances-{key}.json"


def open_source(base: str, settings: TransferSettings, stop: threading.Event) -> CocoSource:
    """Return the source behind a base URL; no connection is made yet.

    Args:
        base: An ``http``, ``https`` or ``file`` URL, or the path of a folder or zip archive.
        settings: For transfers over a network.
        stop: Calls them off when set.

    Raises:
        UsageError: It is another kind of URL.
        InputError: The folder or archive does not exist.
        ArtifactError: The archive is damaged.
        EnvironmentFault: The proxy variables cannot be used.
    """
    if "://" not in base:
        return LocalSource(Path(base), base)
    try:
        url = urlsplit(base)
    except ValueError as exc:
        raise UsageError(f"{base!r} is not a URL ({exc}).") from exc
    if url.scheme in ("http", "https"):
        return HttpSource(base, Http(settings, stop))
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return LocalSource(Path(unquote(url.path)), base)
    raise UsageError(
        f"{base!r} is no source for images.",
        hint="Use an http, https or file URL, a folder or a zip archive.",
    )


def load_instances(
    source: CocoSource, work: Path, expected_sha256: str | None, watch: Watch
) -> tuple[Instances, str]:
    """Return the checked annotations of the whole dataset and the SHA-256 of their file.

    What came over a network is kept in ``work`` and used again.

    Args:
        source: Where they come from.
        work: Folder for them and for partial files.
        expected_sha256: Hash of the kept file as far as it is known; another one is fetched anew.
        watch: Told how many bytes of how many have arrived.

    Raises:
        DownloadError: They could not be fetched.
        InputError: They are not there, or not COCO instances.
        StorageError: They cannot be written.
    """
    path = work / _CACHED.format(key=sha256_bytes(os.fsencode(source.base))[:12])
    if source.remote and path.is_file():
        digest = sha256_file(path)
        with contextlib.suppress(ArtifactError):
            if expected_sha256 in (None, digest):
                return read_instances(path), digest
    origin = source.instances(path, work, watch)
    try:
        return read_instances(path, origin), sha256_file(path)
    except ArtifactError:
        path.unlink()
        raise


def tidy(source: CocoSource, work: Path) -> None:
    """Remove partial files, and annotations of other sources, once a subset is complete."""
    keep = _CACHED.format(key=sha256_bytes(os.fsencode(source.base))[:12])
    for path in work.iterdir():
        other = path.name.startswith("instances-") and path.name != keep
        if other or path.suffix in (".part", ".mark"):
            path.unlink(missing_ok=True)
