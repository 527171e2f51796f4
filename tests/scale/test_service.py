"""The service: what a replica answers, what it refuses, and what ``serve deploy`` is told."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from yolotrt.data.coco.names import category_ids
from yolotrt.errors import EnvironmentFault
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.detector import Refusal, ServiceOptions
from yolotrt.scale.service import _require_free

PICTURE = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)


def posted(detector: Any, body: bytes, path: str = "/detect", method: str = "POST", **query: str) -> Any:
    """Call a replica as Ray Serve does."""
    from starlette.requests import Request

    chunks = [body[i : i + 5000] for i in range(0, len(body), 5000)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    words = "&".join(f"{name}={value}" for name, value in query.items()).encode()
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": words}
    return detector(Request({**scope, "server": ("localhost", 80), "scheme": "http"}, receive))


@pytest.mark.filterwarnings("ignore")
def test_a_replica_answers_with_what_a_pipeline_finds_and_refuses_by_rule(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.serve", reason="needs ray[serve]")
    from ray import serve

    from yolotrt.scale.detector import Detector

    # Outside of a cluster nobody says how many requests a replica may see; Serve only warns by it.
    about = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=1000))
    monkeypatch.setattr(serve, "get_replica_context", lambda: about)
    png = cv2.imencode(".png", PICTURE)[1].tobytes()
    options = ServiceOptions(str(engine), queue=2, at_once=2, max_bytes=len(png), batch=8, batch_wait_s=0.05)
    detector = Detector(options)

    async def calls() -> list[Any]:
        first = await posted(detector, png, image_id="7")
        together = await asyncio.gather(*(posted(detector, png) for _ in range(3)))
        large = await posted(detector, png + b"x")
        wide = await posted(detector, cv2.imencode(".png", np.zeros((10, 10), np.uint8))[1].tobytes()[:40])
        lost = await posted(detector, png, path="/other")
        read = await posted(detector, b"", method="GET")
        handle = await detector.detect(PICTURE)
        await detector.check_health()
        ready = await posted(detector, b"", "/readyz", "GET")
        figures = await posted(detector, b"", "/metrics", "GET")
        return [first, together, large, wide, lost, read, handle, ready, figures]

    first, together, large, wide, lost, read, handle, ready, figures = asyncio.run(calls())
    with TiledPipeline.open(engine) as pipeline:
        result = pipeline(PICTURE)
    expected = json.loads(json.dumps(result.to_coco(7)))
    assert json.loads(first.body) == expected
    assert len(expected) > 3
    assert expected[0]["category_id"] in category_ids(result.names)
    assert [{"image_id": 7, **record} for record in json.loads(json.dumps(handle))] == expected
    assert sorted(answer.status_code for answer in together) == [200, 200, 429]
    (busy,) = (answer for answer in together if answer.status_code == 429)
    assert busy.headers["retry-after"] == "1"
    assert "the most" in json.loads(busy.body)["error"]
    assert [a.status_code for a in (large, wide, lost, read, ready)] == [413, 400, 404, 405, 200]
    text = figures.body.decode()
    from prometheus_client.parser import text_string_to_metric_families

    found = {
        (s.name, s.labels.get("code")): s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
    }
    assert found["yolotrt_requests_total", "200"] == 3
    assert found["yolotrt_requests_total", "429"] == 1
    assert found["yolotrt_request_seconds_count", None] == 3
    tiles, batches = found["yolotrt_tiles_total", None], found["yolotrt_batches_total", None]
    assert tiles > batches
    alone = -(-(len(result.tiles) + 1) // 8) * 4
    assert batches < alone + 4, "tiles of two callers came into one batch"


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EnvironmentFault, match="Cannot listen at 127"):
            _require_free("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(EnvironmentFault, match="Cannot listen at 203"):
        _require_free("203.0.113.1", 8000)


def test_a_refusal_travels() -> None:
    found = pickle.loads(pickle.dumps(Refusal(429, "too many", {"Retry-After": "1"})))
    assert (found.status, found.message, found.headers) == (429, "too many", {"Retry-After": "1"})


@pytest.mark.filterwarnings("ignore")
def test_serve_deploy_takes_the_configuration(cli: Cli, engine: Path) -> None:
    pytest.importorskip("ray.serve", reason="needs ray[serve]")
    import yaml
    from ray.serve.schema import ServeDeploySchema

    from yolotrt.errors import UsageError
    from yolotrt.scale.service import application

    done = cli("serve", engine, "--config", "serve.yaml", "--queue", 9, "--conf", 0.5, "--port", 8111)
    assert done.code == 0, done.err
    found = ServeDeploySchema.model_validate(yaml.safe_load(Path("serve.yaml").read_text()))
    (app,) = found.applications
    assert app.import_path == "yolotrt.scale.service:application"
    assert found.http_options.port == 8111
    built = application(app.args)
    assert built._bound_deployment.init_args[0].settings == PipelineSettings(
        decode=PipelineSettings().decode.__class__(conf=0.5)
    )
    with pytest.raises(UsageError, match="no argument 'quene'"):
        application({**app.args, "quene": 1})
    assert cli("serve", engine, "--config", "serve.yaml").code == 0, "its own it may replace"
    assert cli("serve", engine, "--config", "serve.yaml", "--ray", "auto").code == 2
    Path("mine.yaml").write_text("a: 1\n")
    assert cli("serve", engine, "--config", "mine.yaml").code == 1


def test_without_ray_serve_says_what_to_install(
    cli: Cli, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    Path("a.png").write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes())
    for command in (["serve", engine], ["batch", engine, "a.png", "-o", "found", "--ray", "local"]):
        done = cli(*command)
        assert done.code == 1, done.err
        assert "[ray]" in done.err
