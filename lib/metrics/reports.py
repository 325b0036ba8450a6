"""What the metrics say. Counts are of whole rows, and none holds a text of anybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor of the machine; `percent` is how busy all cores were while this was asked."""

    percent: float
    cores: int
    load_1m: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine, and of this process, in bytes."""

    total_bytes: int
    available_bytes: int
    percent: float
    process_bytes: int


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that this process may write temporary files to, in bytes."""

    total_bytes: int
    free_bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class System:
    """The machine, or what the platform shows of one."""

    cpu: Cpu
    memory: Memory
    disk: Disk
    uptime_seconds: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds from the start of a turn; None when there was none."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The turns of some time until now.

    `error_rate` is the share of them that failed; `total_ms` is that of those that were completed.
    """

    turns: int
    failed: int
    interrupted: int
    error_rate: float | None
    input_tokens: int
    output_tokens: int
    first_token_ms: Percentiles
    total_ms: Percentiles


@dataclass(frozen=True, slots=True)
class Users:
    """Accounts. `enabled` may sign in; `active` had a turn in the last 1, 7 and 30 days; `new` registered in them."""

    total: int
    enabled: int
    by_role: Mapping[str, int]
    active: Mapping[str, int]
    new: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Workspaces:
    """Workspaces. `members` are people, each once; `memberships` counts one for each of their workspaces, by role."""

    total: int
    archived: int
    new_30d: int
    members: int
    memberships: Mapping[str, int]
    conversations: int
    average_members: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """The turns of a day, in UTC."""

    day: date
    turns: int
    failed: int
    interrupted: int


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of the last 14 days, today among them. The models are the 20 with most turns."""

    total: int
    by_outcome: Mapping[str, int]
    by_model: Mapping[str, int]
    per_day: tuple[Day, ...]
    average_input_tokens: float | None
    average_output_tokens: float | None


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations and messages as they are kept now, and the turns of the last 14 days."""

    conversations: Mapping[str, int]
    messages: Mapping[str, int]
    average_messages: float | None
    turns: Turns
