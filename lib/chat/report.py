"""What a turn tells whoever runs Parley: facts for the line of its request, and a span of the model's work."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind

from lib.chat.progress import Progress
from lib.errors import ParleyError
from lib.providers.fallback import Fallback
from lib.telemetry import logs, tracing
from lib.turns import TurnRecord, TurnResult, Where

FIRST_TOKEN = "first token"  # noqa: S105 - an event's name


def note_turn(turn: TurnRecord, result: TurnResult, *, where: Where | None) -> None:
    """Have the line of the request say how the turn ended; `where` it is kept is None where nobody waited to see."""
    logs.note(
        user_id=turn.user_id,
        team_id=turn.team_id,
        message_id=turn.answer_id,
        error=result.error_code,
        outcome=result.outcome,
        saved=where and where == "saved",
        spooled=where == "spooled" or None,
        retrieval=result.retrieval,
        model=result.model,
        first_token_ms=result.first_token_ms,
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
    )


@contextmanager
def model_call(provider: Fallback, progress: Progress) -> Generator[Span]:
    """Span the work of the provider, which says at its end who answered, and what it read and wrote."""
    with tracing.start("chat", SpanKind.CLIENT) as span:
        try:
            yield span
        except ParleyError as error:
            tracing.failed(span, error.code)
            raise
        finally:
            if span.is_recording():
                _describe(span, provider.model, progress)


def _describe(span: Span, model: str, progress: Progress) -> None:
    span.update_name(f"chat {model}")
    span.set_attribute(tracing.OPERATION, "chat")
    span.set_attribute(tracing.MODEL, model)
    if progress.usage:
        span.set_attribute(tracing.INPUT_TOKENS, progress.usage.input_tokens)
        span.set_attribute(tracing.OUTPUT_TOKENS, progress.usage.output_tokens)
