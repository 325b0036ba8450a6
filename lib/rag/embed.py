"""Embeddings from any OpenAI-compatible endpoint: one query on the hot path, many passages at ingestion."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from lib.rag.wire import ServiceFailed, post
from lib.settings import GEMINI_OPENAI_URL, Settings

OPENAI_MODEL: Final = "text-embedding-3-small"
GEMINI_MODEL: Final = "gemini-embedding-001"


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Reply(msgspec.Struct):
    data: list[_Embedding]


@dataclass(frozen=True, slots=True)
class Embedder:
    """An endpoint and its model. `base_url` is what comes before `/embeddings`."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return the first that is configured: EMBEDDING_BASE_URL, OpenAI, Gemini, vLLM; None when none is.

        A keyless endpoint has no model of its own to fall back on, so it counts only when EMBEDDING_MODEL names one.
        """
        model = settings.embedding_model
        if settings.embedding_base_url:
            key = settings.embedding_api_key
            return cls(settings.embedding_base_url, model or OPENAI_MODEL, key.get_secret_value() if key else None)
        if settings.openai_api_key:
            return cls(settings.openai_base_url, model or OPENAI_MODEL, settings.openai_api_key.get_secret_value())
        if settings.gemini_api_key:
            return cls(GEMINI_OPENAI_URL, model or GEMINI_MODEL, settings.gemini_api_key.get_secret_value())
        if settings.vllm_endpoint and model:
            return cls(settings.vllm_endpoint, model)
        return None

    async def embed_query(self, text: str) -> list[float]:
        """Return the embedding of one text, over the shared session.

        Raises:
            ServiceFailed: the endpoint could not be used.
        """
        reply = await post(
            f"{self.base_url.rstrip('/')}/embeddings",
            {"model": self.model, "input": text, "encoding_format": "float"},
            service="embeddings endpoint",
            headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            reply=_Reply,
        )
        if len(reply.data) != 1 or not reply.data[0].embedding:
            raise ServiceFailed("the embeddings endpoint did not send one embedding")
        return reply.data[0].embedding

    @contextmanager
    def passages(self) -> Generator[Callable[[Sequence[str]], list[list[float]]]]:
        """Yield a function from many texts to their embeddings, in order. Each call is one request.

        It goes through the official client, which keeps its connection and retries on its own.

        Raises:
            ServiceFailed: from a call: the endpoint could not be used.
        """
        from openai import OpenAI, OpenAIError

        def embed(texts: Sequence[str]) -> list[list[float]]:
            try:
                reply = client.embeddings.create(model=self.model, input=list(texts))
            except OpenAIError as error:
                raise ServiceFailed(f"the embeddings endpoint could not be used: {type(error).__name__}") from error
            if len(reply.data) != len(texts):
                raise ServiceFailed(f"the embeddings endpoint sent {len(reply.data)} embeddings for {len(texts)} texts")
            return [row.embedding for row in sorted(reply.data, key=lambda row: row.index)]

        with OpenAI(base_url=self.base_url, api_key=self.api_key or "none") as client:
            yield embed
