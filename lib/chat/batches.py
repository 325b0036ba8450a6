"""What an answer that is being written has come to, as it is kept meanwhile: its events in numbered batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from lib.chat.citations import CitationFilter
from lib.chat.events import (
    Failed,
    Finished,
    ReasoningDelta,
    Sources,
    Started,
    Status,
    TextDelta,
    TurnEvent,
    Usage,
    with_cited,
)
from lib.turns import Outcome, TurnResult

_KINDS: Final[dict[str, type[TurnEvent]]] = {
    kind.__name__: kind for kind in (Started, Status, Sources, TextDelta, ReasoningDelta, Usage, Finished, Failed)
}
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[tuple[str, msgspec.Raw]]).decode


def pack(events: Sequence[TurnEvent]) -> bytes:
    """Return events as MessagePack, neighbouring pieces of text as one."""
    return _pack([(type(event).__name__, event) for event in _joined(events)])


def unpack(packed: bytes) -> Iterator[TurnEvent]:
    """Yield the events that `pack` was given."""
    for kind, fields in _unpack(packed):
        yield msgspec.msgpack.decode(fields, type=_KINDS[kind])


def in_a_row(batches: Iterable[tuple[int, bytes]], after: int = 0) -> Iterator[bytes]:
    """Yield the batches that follow a number without a gap: what comes behind one that is missing makes no sense."""
    for number, (found, packed) in enumerate(batches, after + 1):
        if found != number:
            return
        yield packed


def what_is_left(batches: Iterable[tuple[int, bytes]], outcome: Outcome, **more: Any) -> TurnResult:
    """Return what is kept of an answer that nobody writes any more: what its batches tell, from the first on.

    Args:
        batches: all of them, in order.
        outcome: how the turn ended.
        more: of what the batches do not tell.
    """
    events = [event for packed in in_a_row(batches) for event in unpack(packed)]
    answer = "".join(event.text for event in events if isinstance(event, TextDelta))
    found = next((event for event in events if isinstance(event, Sources)), None)
    usage = next((event for event in events if isinstance(event, Usage)), None)
    return TurnResult(
        outcome,
        answer,
        reasoning="".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        sources=_sources(found, answer),
        retrieval=found and found.retrieval,
        passages=len(found.sources) if found else 0,
        input_tokens=usage and usage.input_tokens,
        output_tokens=usage and usage.output_tokens,
        **more,
    )


def _sources(found: Sources | None, answer: str) -> list[dict[str, Any]] | None:
    if found is None or found.retrieval == "off":
        return None
    citations = CitationFilter(len(found.sources))
    citations.feed(answer)
    citations.flush()
    return with_cited(found.sources, citations.cited)


def _joined(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    joined: list[TurnEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + event.text)
        else:
            joined.append(event)
    return joined
