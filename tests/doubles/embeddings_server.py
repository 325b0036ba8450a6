"""An OpenAI-compatible embeddings endpoint that is quick and keeps account, for what is about ingestion alone."""

import json
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

from lib.rag import bm25


class EmbeddingsServer:
    """Serves from a thread of its own, since ingestion blocks the loop.

    An embedding here counts a text's terms in `dimensions` buckets, so texts that share words are near each other.
    """

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions
        self.requests: list[dict[str, Any]] = []
        self.answers_left: int | None = None
        """How many more requests are answered before all are refused; None for no end."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def texts(self) -> list[str]:
        """Every text that was embedded, in order."""
        return [text for request in self.requests for text in request["input"]]

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body for a request."""
        if self.answers_left == 0:
            return 400, {"error": {"message": "no more"}}
        if self.answers_left is not None:
            self.answers_left -= 1
        self.requests.append(request)
        texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
        rows = [{"index": i, "embedding": self.embed(text)} for i, text in enumerate(texts)]
        return 200, {"object": "list", "data": rows, "model": request["model"], "usage": {}}

    def embed(self, text: str) -> list[float]:
        """Return the embedding of a text."""
        vector = [0.01] * self.dimensions
        for term in bm25.terms(text):
            vector[zlib.crc32(term.encode()) % self.dimensions] += 1.0
        return vector

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = double.answer(body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the parent's name

        return Handler
