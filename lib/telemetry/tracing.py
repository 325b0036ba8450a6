"""Spans of the work on a request. Where traces go nowhere, which is the default, they cost nothing.

A request that is traced carries its tracer; whatever works on it, in its task or in one that it started, finds it here.
What is known of the exporter is in `lib.telemetry.collector`, imported only when there is one.
"""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, format_trace_id, get_current_span

# The names of OpenTelemetry's conventions for generative AI, which are not yet stable:
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
OPERATION: Final = "gen_ai.operation.name"
MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
ERROR_TYPE: Final = "error.type"

_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


def trace_with(tracer: Tracer) -> None:
    """Trace what the running task, and every task it starts from now on, does."""
    _tracer.set(tracer)


def trace_id() -> str | None:
    """Return the id of the trace under way, 32 hexadecimal digits; None when there is none."""
    if _tracer.get() is None:
        return None
    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


def start(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Span:
    """Start a span below the one under way, without making it the current one. Whoever starts it ends it.

    An exception is never recorded by itself: its words may quote what people wrote.
    """
    tracer = _tracer.get()
    if tracer is None:
        return INVALID_SPAN
    return tracer.start_span(name, kind=kind, record_exception=False, set_status_on_exception=False)


def failed(span: Span, kind: str) -> None:
    """Say that what the span stands for failed, with this kind of error."""
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(StatusCode.ERROR)


def traced[**P, T](
    name: str,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Return a decorator: each call is a span of this name."""

    def decorate(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        async def in_span(*args: P.args, **kwargs: P.kwargs) -> T:
            with start(name) as span:
                try:
                    return await work(*args, **kwargs)
                except Exception as error:
                    failed(span, type(error).__qualname__)
                    raise

        @wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
            return work(*args, **kwargs) if _tracer.get() is None else in_span(*args, **kwargs)

        return call

    return decorate
