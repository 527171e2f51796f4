"""The service as an application of Ray Serve: what ``serve run`` and ``serve deploy`` import."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.distribution import install_hint
from yolotrt.errors import EnvironmentFault, MissingDependency, UsageError
from yolotrt.scale.detector import Detector, ServiceOptions
from yolotrt.scale.ray_crew import connected, ray_module

NAME = "yolotrt"
"""Of the application."""

IMPORT_PATH = f"{__name__}:application"

WAITING = 1000
"""Requests that Ray lets a replica see at once: it refuses by its own rule, and says so."""


def serve_module() -> Any:
    """Return Ray Serve.

    Raises:
        MissingDependency: It is not installed.
    """
    ray_module()
    try:
        from ray import serve
    except ImportError as exc:
        raise MissingDependency(f"Ray Serve is missing ({exc}).", hint=install_hint("serve")) from exc
    return serve


def application(args: dict[str, Any]) -> Any:
    """Return the application, as Ray Serve's builders do.

    Args:
        args: The fields of :class:`yolotrt.scale.detector.ServiceOptions`.

    Raises:
        UsageError: A field is unknown or wrong.
    """
    serve = serve_module()
    try:
        options = msgspec.convert(args, ServiceOptions)
    except msgspec.ValidationError as exc:
        raise UsageError(f"The service's arguments are wrong: {exc}.", hint="See docs/scaling.md.") from exc
    if unknown := sorted(set(args) - set(ServiceOptions.__dataclass_fields__)):
        raise UsageError(f"The service has no argument {unknown[0]!r}.", hint="See docs/scaling.md.")
    deployment = serve.deployment(
        Detector,
        name="Detector",
        num_replicas=options.replicas,
        max_ongoing_requests=WAITING,
        ray_actor_options={"num_cpus": options.settings.cpu_threads, "num_gpus": options.gpus},
        graceful_shutdown_timeout_s=10,
    )
    return deployment.bind(options)


def config(options: ServiceOptions, host: str, port: int) -> dict[str, Any]:
    """Return what ``serve deploy`` reads (schema ``ServeDeploySchema``), as values of YAML."""
    args = as_values(options)
    args["engine"] = os.path.abspath(options.engine)
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": NAME,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": args,
            }
        ],
    }


def write_config(target: Path, options: ServiceOptions, host: str, port: int) -> Path:
    """Write what ``serve deploy`` reads.

    Raises:
        StorageError: It cannot be written.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    out = StringIO()
    yaml.dump(config(options, host, port), out)
    return write_text(target, out.getvalue())


@contextmanager
def serving(options: ServiceOptions, host: str, port: int, ray: str) -> Iterator[None]:
    """Serve while the block runs.

    Args:
        options: How the service works.
        host: Where it listens.
        port: Likewise.
        ray: The cluster; ``local`` starts one that ends with the block.

    Raises:
        EnvironmentFault: There is no such cluster, or nobody can listen there.
        YoloTrtError: The engine does not load.
    """
    serve = serve_module()
    if ray == "local":
        _require_free(host, port)  # before Ray takes its time to start
    cpus = options.replicas * options.settings.cpu_threads + 1
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with connected(ray, local_cpus=cpus):
        logging_config = {"log_level": "ERROR", "enable_access_log": False}
        try:
            serve.start(http_options={"host": host, "port": port}, logging_config=logging_config)
        except RuntimeError as exc:  # the last line is what a machine of the cluster said
            said = str(exc).splitlines()[-1].removeprefix("RuntimeError: ")
            raise _nobody_listens(host, port, said) from exc
        try:
            serve.run(
                application(as_values(options)), name=NAME, route_prefix="/", logging_config=logging_config
            )
        except RuntimeError as exc:
            raise EnvironmentFault(
                f"The service does not start: {str(exc).splitlines()[0]}",
                hint=f"See whether the engine runs: yolotrt predict {options.engine} PICTURE",
            ) from exc
        try:
            yield
        finally:
            serve.delete(
                NAME
            )  # nothing else: others may be served there, and a cluster of our own ends with us


def _require_free(host: str, port: int) -> None:
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(address[0], address[1]) as tried:
            tried.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # what ended just now is in nobody's way
            tried.bind(address[4])
            tried.listen()
    except OSError as exc:
        raise _nobody_listens(host, port, exc.strerror or str(exc)) from exc


def _nobody_listens(host: str, port: int, why: str) -> EnvironmentFault:
    hint = "Choose others: --host 127.0.0.1 --port 8001"
    return EnvironmentFault(f"Cannot listen at {host}:{port} ({why.rstrip('.')}).", hint=hint)
