"""What a turn is asked with, and what it works with."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lib.agents.known import KnownAgents
from lib.chat.keys import Keys
from lib.chat.under_way import UnderWay
from lib.db.limits import Allowance, Hit
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.providers.base import Provider
from lib.providers.fallback import Limits
from lib.rag.retrieve import Retriever, Scope
from lib.turns import Branch, SaidMessage, TurnKey

if TYPE_CHECKING:
    from lib.auth.seal import Seal
    from lib.chat.titles import Titler
    from lib.settings import Settings
    from lib.spool import Spool

Work = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class TurnLimit:
    """For whom a turn counts, and who is told what is left then."""

    hit: Hit
    tell: Callable[[Allowance], None]


@dataclass(slots=True)
class Course:
    """What whoever serves a turn has to know of it.

    Attributes:
        afterwards: what is to be done once the answer is with its reader.
        repeats: it tells another turn's events, and writes nothing itself.
        stopped: its reader wants no more of it.
    """

    afterwards: list[Work] = field(default_factory=list[Work])
    repeats: bool = False
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What is asked, and by whom: `tenant` is the team, and who must still be signed in; `user_id` is None for a guest.

    Attributes:
        content: the question; empty where a branch has another answer to an old one.
        conversation_id: which conversation goes on; None for a new one, which is then with `agent_id`.
        selected_text: a passage that the reader marked, to be answered from instead of a search within `scope`.
        limit: for whom the turn counts; without one there may be any number of turns.
        branch: where the turn leaves the path, if it does.
        key: what makes this request a retry of another; then it has that turn's events.
        history: what was said last, as the client has it: used while the database cannot say.
        with_agent: whether the conversation is likely to be with an agent: while the database cannot say which, nobody
            else is told the question.
        course: is told how the turn goes.
    """

    tenant: Tenant
    user_id: UUID | None
    content: str
    conversation_id: UUID | None = None
    agent_id: UUID | None = None
    selected_text: str | None = None
    scope: Scope = field(default_factory=Scope)
    limit: TurnLimit | None = None
    branch: Branch | None = None
    key: TurnKey | None = None
    history: tuple[SaidMessage, ...] | None = None
    with_agent: bool = False
    course: Course = field(default_factory=Course)

    @property
    def searches_at_once(self) -> bool:
        """Whether the search begins beside the history, before it is known who answers.

        A conversation with a webhook would search for nothing, and an answer that is wanted again has no question yet.
        """
        return bool(self.content) and not self.with_agent


@dataclass(frozen=True, slots=True)
class TurnDeps:
    """What a turn works with. Without a spool, a turn that cannot be saved is not kept."""

    settings: "Settings"
    database: Database
    retriever: Retriever | None
    providers: tuple[Provider, ...]
    limits: Limits
    under_way: UnderWay
    seal: "Callable[[], Seal]"
    titler: "Titler"
    spool: "Spool | None" = None
    keys: Keys = field(default_factory=Keys)
    known_agents: KnownAgents = field(default_factory=KnownAgents)
