"""The service's work in one replica: pictures in, COCO records out, tiles of several callers in one batch.

Each caller's frame goes through a pipeline of its own, in a thread. Whatever these want from the network
comes together in one queue, from which Ray Serve forms batches. What exceeds a limit is refused at once, so
that what was accepted keeps its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import F32, Frame
from yolotrt.backends.base import Context, Engine
from yolotrt.backends.loading import open_engine
from yolotrt.data.headers import HeaderError, image_size
from yolotrt.data.images import MAX_PIXELS, decode_image
from yolotrt.errors import ImageError, YoloTrtError
from yolotrt.pipeline.adapters import Record
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.called import CalledEngine
from yolotrt.scale.service_figures import ServiceFigures

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Batch = Callable[[list[F32]], Any]


@dataclass(frozen=True)
class ServiceOptions:
    """How a service works, as values that a configuration file can hold.

    Attributes:
        engine: The engine's file.
        settings: How frames are cut, run, decoded and merged.
        device: Where the engine runs.
        trust: Also load an engine that nothing vouches for.
        at_once: Pictures that a replica works on at the same time.
        queue: Pictures that a replica accepts, those at work included; more are refused (429).
        max_bytes: Largest body; larger ones are refused (413).
        max_pixels: Largest picture, likewise.
        batch: Most tiles of a batch.
        batch_wait_s: How long a tile waits for others, seconds.
        replicas: Replicas, each with an engine of its own.
        gpus: GPUs of a replica; below 1 several share one.
    """

    engine: str
    settings: PipelineSettings = field(default_factory=PipelineSettings)
    device: str = "auto"
    trust: bool = False
    at_once: int = 4
    queue: int = 16
    max_bytes: int = 32 * 2**20
    max_pixels: int = MAX_PIXELS
    batch: int = 32
    batch_wait_s: float = 0.005
    replicas: int = 1
    gpus: float = 0.0


class Refusal(Exception):
    """A request that is not served.

    Args:
        status: HTTP's number for why.
        message: What is wrong, and what would be right.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}

    def __reduce__(self) -> tuple[type[Refusal], tuple[int, str, dict[str, str]]]:
        """Let it travel to a caller in another process."""
        return Refusal, (self.status, self.message, self.headers)


class Detector:
    """A replica of the service.

    Args:
        options: How it works.

    Raises:
        YoloTrtError: The engine does not load here.
    """

    def __init__(self, options: ServiceOptions) -> None:
        from ray import serve

        self._options, self._figures = options, ServiceFigures(Path(options.engine).name)
        self._engine = open_engine(Path(options.engine), options.device, trust=options.trust)
        self._contexts: dict[int, Context] = {}
        self._network = ThreadPoolExecutor(1, "yolotrt-network")
        self._callers = ThreadPoolExecutor(options.at_once, "yolotrt-caller")
        self._batched = serve.batch(max_batch_size=options.batch, batch_wait_timeout_s=options.batch_wait_s)(
            self._run
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipelines: SimpleQueue[TiledPipeline] = SimpleQueue()
        for _ in range(options.at_once):
            self._pipelines.put(TiledPipeline(CalledEngine(self._engine.file, self._call), options.settings))
        self._inside = 0

    async def __call__(self, request: Request) -> Response:
        """Answer over HTTP: POST a picture to ``/detect``; GET ``/healthz``, ``/readyz``, ``/metrics``."""
        from starlette.responses import JSONResponse, PlainTextResponse

        path = request.url.path.rstrip("/").rpartition("/")[2]
        if request.method == "GET" and path in ("healthz", "readyz"):
            return PlainTextResponse("ok\n")
        if request.method == "GET" and path == "metrics":
            return PlainTextResponse(
                self._figures.exposition(self._inside), media_type=ServiceFigures.CONTENT_TYPE
            )
        begin = time.perf_counter()
        try:
            if path != "detect":
                raise Refusal(404, "POST a picture to /detect; GET /healthz, /readyz or /metrics.")
            if request.method != "POST":
                raise Refusal(405, "POST the bytes of a picture.", {"Allow": "POST"})
            image_id = request.query_params.get("image_id", "1")
            async with self._accepted():
                data = await self._body(request)
                records = await self._in_thread(lambda: self._decoded(data))
            named = int(image_id) if image_id.isdecimal() and len(image_id) < 19 else image_id
            answer: Response = JSONResponse([{"image_id": named, **record} for record in records])
        except Refusal as exc:
            answer = JSONResponse({"error": exc.message}, exc.status, exc.headers)
        except YoloTrtError as exc:  # an engine that fails; its replica may still be well
            answer = JSONResponse({"error": exc.message}, 500)
        self._figures.answered(answer.status_code, time.perf_counter() - begin)
        return answer

    async def detect(self, frame: Frame) -> list[Record]:
        """Return what is in a frame, for a handle of Python (``handle.detect.remote(frame)``).

        Args:
            frame: (h, w, 3) uint8, BGR.

        Raises:
            Refusal: There are too many already (status 429).
            ImageError: It is no frame.
        """
        async with self._accepted():
            return await self._in_thread(lambda: self._records(frame))

    async def check_health(self) -> None:
        """Let Ray Serve know that the replica works: what runs batches answers.

        Raises:
            TimeoutError: It does not.
        """
        future = asyncio.get_running_loop().run_in_executor(self._network, lambda: None)
        await asyncio.wait_for(future, 30.0)

    @asynccontextmanager
    async def _accepted(self) -> AsyncIterator[None]:
        if self._inside >= self._options.queue:
            raise Refusal(
                429,
                f"{self._inside} pictures are at work or waiting here, which is the most. Try again later.",
                {"Retry-After": "1"},
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def _body(self, request: Request) -> bytes:
        most = self._options.max_bytes
        too_large = Refusal(413, f"A picture may have {most:,} bytes.")
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            raise too_large
        found = bytearray()
        async for chunk in request.stream():
            found += chunk
            if len(found) > most:
                raise too_large
        return bytes(found)

    async def _in_thread(self, work: Callable[[], list[Record]]) -> list[Record]:
        self._loop = loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._callers, work)

    def _decoded(self, data: bytes) -> list[Record]:
        try:
            width, height = image_size(data)
            if width * height > self._options.max_pixels:
                raise Refusal(413, f"A picture may have {self._options.max_pixels:,} pixels.")
            frame = decode_image(data, Path("the picture"))
        except (HeaderError, ImageError) as exc:
            raise Refusal(400, str(exc)) from exc
        return self._records(frame)

    def _records(self, frame: Frame) -> list[Record]:
        pipeline = self._pipelines.get()
        try:
            records = pipeline(frame).to_coco()
        finally:
            self._pipelines.put(pipeline)
        for record in records:
            del record["image_id"]
        return records

    def _call(self, images: F32) -> tuple[F32, F32]:
        """Run a caller's tiles among those of others; called in its thread."""
        assert self._loop is not None

        async def together() -> list[tuple[F32, F32]]:
            return list(await asyncio.gather(*(self._batched(image) for image in images)))

        found = asyncio.run_coroutine_threadsafe(together(), self._loop).result()
        return np.stack([head for head, _ in found]), np.stack([prototypes for _, prototypes in found])

    async def _run(self, images: list[F32]) -> list[tuple[F32, F32]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._network, lambda: self._computed(images))

    def _computed(self, images: list[F32]) -> list[tuple[F32, F32]]:
        found: list[tuple[F32, F32]] = []
        for part in in_batches(range(len(images)), self._engine.file):
            context = self._context(self._engine, len(part))
            for place, index in enumerate(part):
                context.images[place] = images[index]
            head, prototypes = context.run()
            found += zip(head.copy(), prototypes.copy(), strict=True)
            self._figures.batch(len(part))
        return found

    def _context(self, engine: Engine, size: int) -> Context:
        if size not in self._contexts:
            self._contexts[size] = engine.new_context(size, threads=self._options.settings.cpu_threads)
        return self._contexts[size]
