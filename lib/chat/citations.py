"""Citation markers: an answer may only cite what the model was given."""

import re
from typing import Final

_LIST: Final = r" ?[0-9]{1,3}(?: ?[,–-] ?[0-9]{1,3})* ?"
# What is looked at: a code fence, inline code, and a marker ("[2]", "[1, 3]", "[2-4]") with the space before it.
_TOKEN: Final = re.compile(rf"`{{3,}}|~{{3,}}|`{{1,2}}[^`\n]{{1,200}}`{{1,2}}| ?\[(?=[^\]]{{1,200}}\])({_LIST})\]")
# The same, and before it what may still become one of these: it stands at the end of what has arrived.
_STREAMED: Final = re.compile(
    rf"(?P<open>(?:`+|~+|`{{1,2}}[^`\n]{{1,200}}`*| ?\[[0-9,–\- ]{{0,200}}| )\Z)|{_TOKEN.pattern}"
)
# What most pieces have none of: the beginning of any of these. A space begins one only where something follows it.
_BEGINNING: Final = re.compile(r"[`~\[]")
# What stands before an index rather than a citation: a name, perhaps indexed already.
_NAME: Final = re.compile(r"[^\W](?:\[[0-9]{1,3}\])*\Z")
_LONGEST_NAME: Final = 16


class CitationFilter:
    """Passes an answer on as it streams, without the markers that cite nothing.

    It holds back only what may be the beginning of a marker or of code, whose brackets are no markers. Outside of code
    `items[0]` is none either, and where no passages were given nor is `items[1]`. What comes out does not depend on how
    the text that goes in was cut.
    """

    def __init__(self, given: int) -> None:
        """Take how many passages the model was given; their numbers run from 1."""
        self._given = given
        self._before = ""
        self._held = ""
        self._in_fence = False
        self._cited: set[int] = set()

    @property
    def cited(self) -> tuple[int, ...]:
        """The numbers cited so far, ascending."""
        return tuple(sorted(self._cited))

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown of it and of what was held."""
        text, self._held = self._held + text, ""
        if not text.endswith(" ") and _BEGINNING.search(text) is None:
            self._before = (self._before + text)[-_LONGEST_NAME:]
            return text
        shown = _STREAMED.sub(self._hold_or_judge, text)
        self._before = (self._before + text.removesuffix(self._held))[-_LONGEST_NAME:]
        return shown

    def flush(self) -> str:
        """Return what is still held: the answer is over."""
        held, self._held = self._held, ""
        return _TOKEN.sub(lambda token: self._judge(token, token[1]), held)

    def _hold_or_judge(self, token: re.Match[str]) -> str:
        if token["open"] is None:
            return self._judge(token, token[2])
        self._held = token[0]
        return ""

    def _judge(self, token: re.Match[str], listed: str | None) -> str:
        """Keep code as it is; of a marker keep the numbers that were given, and nothing if none was."""
        if token[0].startswith(("```", "~~~")):
            self._in_fence = not self._in_fence
        if self._in_fence or listed is None:
            return token[0]
        named = _numbers(listed)
        true = [number for number in named if 1 <= number <= self._given]
        self._cited.update(true)
        if len(true) == len(named) or self._is_index(token, named):
            return token[0]
        space = " " if token[0].startswith(" ") else ""
        return f"{space}[{', '.join(map(str, true))}]" if true else ""

    def _is_index(self, token: re.Match[str], named: list[int]) -> bool:
        before = (self._before + token.string[: token.start()])[-_LONGEST_NAME:]
        return bool(token[0][0] == "[" and _NAME.search(before) and (named == [0] or not self._given))


def _numbers(listed: str) -> list[int]:
    """Return the numbers that a marker's inside names: `1, 3` is two, `2-4` is three."""
    numbers: list[int] = []
    for part in listed.split(","):
        bounds = [int(number) for number in re.split("[–-]", part)]
        numbers.extend(range(bounds[0], max(bounds) + 1))
    return numbers
