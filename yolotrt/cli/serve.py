"""``yolotrt serve``: an engine that others call over HTTP."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import say, tell, warn
from yolotrt.cli.detecting import Detecting, with_detecting
from yolotrt.cli.options import Device, Trust
from yolotrt.cli.outputs import Overwrite, claim_outputs
from yolotrt.errors import UsageError


@with_detecting
def serve(
    *,
    engine: Annotated[Path, typer.Argument(help="The engine.")],
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; 0.0.0.0 for other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to listen.")] = 8000,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="Replicas, each with its engine.")] = 1,
    gpus: Annotated[
        float, typer.Option("--gpus", min=0, help="GPUs of each replica; 0.5 lets two share one.")
    ] = 0.0,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Pictures that a replica works on at the same time.")
    ] = 4,
    queue: Annotated[
        int,
        typer.Option("--queue", min=1, help="Pictures that a replica accepts; more are refused (429)."),
    ] = 16,
    megabytes: Annotated[
        float, typer.Option("--max-megabytes", min=0.001, help="Largest picture; larger are refused (413).")
    ] = 32.0,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Most tiles of a batch.")] = 32,
    batch_wait: Annotated[
        float, typer.Option("--batch-wait", min=0, help="How long a tile waits for others, ms.")
    ] = 5.0,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="local|auto|ADDRESS",
            help="Ray's cluster that serves. [default: local, which ends with the command]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Write what serve deploy reads to a file instead, and end."),
    ] = None,
    detecting: Detecting,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the network.")] = 1,
    device: Device = "auto",
    trust: Trust = False,
    overwrite: Overwrite = False,
) -> None:
    r"""Serve an engine over HTTP (Ray Serve): a picture in, COCO records with masks out.

    POST the bytes of a picture to /detect. Tiles of several callers share batches. GET /healthz and /readyz
    say whether it works, /metrics its figures (Prometheus). What is too large is refused with 413, what
    is too much with 429 and Retry-After. Ctrl-C ends it.

    \b
    Examples:
      yolotrt serve engines/m.int8.onnxruntime.onnx
      curl --data-binary @street.jpg http://localhost:8000/detect
      yolotrt serve engines/m.engine --gpus 1 --replicas 2 --host 0.0.0.0 --queue 32
      yolotrt serve engines/m.engine --gpus 1 --config serve.yaml    # serve deploy serve.yaml
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.kinds import Kind
    from yolotrt.backends.admission import admit
    from yolotrt.scale.detector import ServiceOptions
    from yolotrt.scale.service import IMPORT_PATH, serving, write_config

    if config is not None and ray is not None:
        raise UsageError(
            "--config only writes a file, and --ray says who serves.",
            hint="Leave out --ray; serve deploy, which reads the file, takes an --address.",
        )
    settings = detecting.settings(cpu_threads=threads)
    own = Kind("a configuration of ours", lambda path: IMPORT_PATH in path.read_text(errors="replace"))
    outputs = [] if config is None else [Output("--config", config, own)]
    claim_outputs(outputs, engine, overwrite=overwrite)
    admit(engine, trust=trust, warn=warn)
    options = ServiceOptions(
        engine=str(engine.absolute()),
        settings=settings,
        device=device,
        trust=trust,
        at_once=at_once,
        queue=queue,
        max_bytes=round(megabytes * 1e6),
        batch=batch,
        batch_wait_s=batch_wait / 1e3,
        replicas=replicas,
        gpus=gpus,
    )
    if config is not None:
        tell(str(write_config(config, options, host, port)))
        return
    ended = threading.Event()
    with serving(options, host, port, ray or "local"):
        say(f"serving: http://{host}:{port}/detect   (Ctrl-C ends)")
        signal.signal(signal.SIGINT, lambda *_: ended.set())
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        while not ended.wait(0.5):
            pass
