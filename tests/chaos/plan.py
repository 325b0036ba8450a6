"""What happens in a seed: who asks what, and what goes wrong meanwhile. All of it is drawn from the seed alone."""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Target = Literal["database", "search", "storage", "provider", "server"]
Kind = Literal["refuse", "stall", "reset", "cut", "kill", "term"]
Side = Literal["asked", "answered"]
Way = Literal["whole", "flow", "book", "native", "flow-stream", "thread", "team"]
Who = Literal["user", "other", "guest"]

WHOLE: Final[frozenset[Way]] = frozenset({"whole", "flow"})
"""The ways that answer in one piece."""

_TARGETS: Final[dict[Target, int]] = {"database": 40, "storage": 17, "server": 20, "provider": 15, "search": 8}
_WAYS: Final[dict[Way, int]] = {
    "whole": 3,
    "flow": 1,
    "book": 2,
    "native": 3,
    "flow-stream": 1,
    "thread": 3,
    "team": 2,
}
_LASTS: Final[dict[float, int]] = {0.05: 3, 0.3: 4, 0.8: 3, 1.4: 3, 2.2: 1, 3.3: 1}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. Times are seconds: `at` from the start of the seed, and how long it `lasts`.

    Attributes:
        word: it goes wrong not at a time, but at the moment in which the so-many-th last word comes to a client: just
            when something was promised.
        after: of a `cut`, how many bytes still go through.
        side: of a `cut`, which bytes are counted: those that are asked, or those that are answered.
    """

    target: Target
    kind: Kind
    at: float
    lasts: float
    after: int = 0
    side: Side = "answered"
    word: int | None = None

    def __str__(self) -> str:
        cut = f" after {self.after} bytes {self.side}" if self.kind == "cut" else ""
        when = f"{self.at:.2f} s" if self.word is None else f"last word {self.word}"
        return f"{self.target} {self.kind}{cut} at {when} for {self.lasts:g} s"


@dataclass(frozen=True, slots=True)
class Step:
    """One question, and how it is put.

    Attributes:
        number: its own within the seed.
        pause: seconds before it.
        words: of the answer.
        pace: milliseconds between two of them.
        keyed: whether it has an `Idempotency-Key`, and is sent again until it is answered.
        copies: how many of it are sent at once.
        leaves: hang up after so many pieces of the answer.
        stops: want no more of the answer after so many pieces.
        resumes: take a stream up again that broke off.
        tells_history: send the messages before it along, for a server that cannot read them.
    """

    number: int
    does: Literal["say", "edit", "regenerate"]
    way: Way
    pause: float
    words: int
    pace: int
    keyed: bool
    copies: int
    leaves: int | None
    stops: int | None
    resumes: bool
    tells_history: bool


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation of somebody, from its first question on."""

    who: Who
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a seed.

    Attributes:
        disconnect: the server's `DISCONNECT`.
        time_passes: whether it takes long until a killed server is replaced: what it left open is then old.
        moves_on: whether another process than the one that met the faults does the clearing up.
        reaps_first: whether the reaper comes before the replay, or after it.
    """

    seed: int
    talks: tuple[Talk, ...]
    faults: tuple[Fault, ...]
    disconnect: Literal["finish", "cancel"]
    time_passes: bool
    moves_on: bool
    reaps_first: bool


def draw(seed: int) -> Plan:
    """Return what happens in a seed: always the same."""
    random = Random(seed)  # noqa: S311 - it has to be repeatable
    numbers = iter(range(1, 1000))
    talks = tuple(
        Talk(
            who, tuple(_step(random, next(numbers), first=index == 0, who=who) for index in range(random.randint(1, 4)))
        )
        for who in ("user", "other", "guest", random.choice(("user", "guest")))
    )
    faults = [_fault(random) for _ in range(random.randint(1, 4))]
    if random.random() < 0.4:
        faults += _long_outage(random)
    return Plan(
        seed=seed,
        talks=talks,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        disconnect="cancel" if random.random() < 0.3 else "finish",
        time_passes=random.random() < 0.7,
        moves_on=random.random() < 0.4,
        reaps_first=random.random() < 0.3,
    )


def _step(random: Random, number: int, *, first: bool, who: Who) -> Step:
    does: Literal["say", "edit", "regenerate"] = "say"
    if not first and random.random() < 0.35:
        does = "regenerate" if who == "guest" else random.choice(("edit", "regenerate"))
    way, words = _weighted(random, _WAYS), random.randint(2, 24)
    keyed = random.random() < 0.5
    ends_early = random.random() if way not in WHOLE else 1.0
    return Step(
        number=number,
        does=does,
        way=way,
        pause=random.uniform(0.0, 0.25),
        words=words,
        pace=random.choice((0, 5, 10, 20)),
        keyed=keyed,
        copies=random.choice((2, 3, 5)) if keyed and random.random() < 0.35 else 1,
        leaves=random.randint(0, words) if ends_early < 0.15 else None,
        stops=random.randint(1, words) if 0.15 <= ends_early < 0.27 else None,
        resumes=random.random() < 0.5,
        tells_history=random.random() < 0.5,
    )


def _fault(random: Random) -> Fault:
    target = _weighted(random, _TARGETS)
    at, lasts = random.uniform(0.0, 1.1), _weighted(random, _LASTS)
    word = random.randint(1, 8) if random.random() < 0.4 else None
    if target == "server":
        return Fault(target, random.choice(("kill", "term")), at, random.choice((0.0, 0.1, 0.4)), word=word)
    kind = random.choice(("refuse", "stall", "reset", "cut"))
    after = int(10 ** random.uniform(0, 4))
    return Fault(target, kind, at, lasts, after, random.choice(("asked", "answered")), word)


def _long_outage(random: Random) -> list[Fault]:
    """Return what has turns wait in the spool, and what then happens to those that do."""
    at = random.uniform(0.0, 0.4)
    away = Fault("database", random.choice(("refuse", "stall")), at, random.uniform(1.2, 2.4))
    word = random.randint(1, 4)
    then = random.choice(
        (
            Fault("server", "kill", at, 0.0, word=word),
            Fault("server", "term", at, 0.0, word=word),
            Fault(
                "storage", random.choice(("refuse", "stall")), at + random.uniform(0.0, 0.6), random.uniform(0.3, 2.4)
            ),
        )
    )
    return [away, then]


def _weighted[T](random: Random, weights: dict[T, int]) -> T:
    return random.choices(list(weights), list(weights.values()))[0]
