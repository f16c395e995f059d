"""YAML and JSON as plain values with their lines: in bounded time and memory, and nothing but what JSON has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The way to a value: keys, and the number of an element in a list, from 0.
Place = tuple[str | int, ...]

#: Values that a text may hold; a plan of 5,000 steps has about 100,000.
MOST_VALUES = 500_000
#: How deep values may lie in one another.
DEEPEST = 70
#: Digits of a number; longer ones are texts in YAML, and nothing in JSON.
_LONGEST = 4_000

_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
#: What a plain YAML word is, where it is not a text; the words of YAML 1.1 such as `yes`, 12:30 or dates are texts.
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
_CAUSES = "Look for a tab, a `: ` or ` #` in a text without quotes, and a quote or bracket that is not closed."


class Unreadable(Exception):
    """A text is not what it should be.

    Args:
        says: What is wrong, in a sentence.
        line: In which line, from 1; 0 where that means nothing.
        do: The next step.
    """

    def __init__(self, says: str, line: int = 0, do: str = "") -> None:
        super().__init__(says)
        self.says, self.line, self.do = says, line, do


@dataclass(frozen=True, slots=True)
class Read:
    """What a text says, and where.

    Args:
        value: The value.
        lines: The line of every value, from 1.
    """

    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of a value, or of the nearest one around it."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_json(text: str) -> Read:
    """Read a JSON text.

    Raises:
        Unreadable: it is none, or one that is too deep, too large or ambiguous.
    """
    if not text.strip():
        raise _empty()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        do = "Look at this line and the one before."
        raise Unreadable(f"It is not JSON: {error.msg}.", error.lineno, do) from None
    except RecursionError:
        _json_lines(text)  # knows where
        raise Unreadable("It is nested too deep.") from None
    except ValueError:  # a whole number of thousands of digits
        line = next((line for token, line in _tokens(text) if len(token) > _LONGEST and token[0] != '"'), 0)
        raise Unreadable("It holds a number that is too large.", line, "Write it as a text.") from None
    return Read(value, _json_lines(text))


def read_yaml(text: str) -> Read:
    """Read a YAML text of one document, without anchors, tags and what only YAML 1.1 takes for numbers or dates.

    Raises:
        Unreadable: it is none, or one that is too deep, too large or ambiguous.
    """
    import yaml

    tree = _Tree()
    documents = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            documents += isinstance(event, yaml.DocumentStartEvent)
            line = _line_of(event)
            if documents > 1:
                raise Unreadable("A second document begins here.", line, "Write each plan into its own file.")
            _take(event, line, tree)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(f"It is not text: {error.reason}.", line, "Take the control character away.") from None
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text) from None
    if not tree.lines:
        raise _empty()
    return Read(tree.root, tree.lines)


# --- YAML ---------------------------------------------------------------------------------------------------------


def _take(event: Any, line: int, tree: _Tree) -> None:
    """Put what one event of the parser says into the tree."""
    import yaml

    match event:
        case yaml.ScalarEvent():
            _refuse_references(event, line)
            tree.add(_scalar(event.value, plain=event.implicit[0]), line, event.value)
        case yaml.CollectionStartEvent():
            _refuse_references(event, line)
            tree.open({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        case yaml.CollectionEndEvent():
            tree.close()
        case yaml.AliasEvent():
            raise Unreadable(f"`*{event.anchor}` repeats what stands elsewhere.", line, "Write it out.")


@dataclass(slots=True)
class _Tree:
    """Values as they come, one after the other, put into one another without recursion."""

    root: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    _open: list[tuple[Any, Place]] = field(default_factory=list)
    _key: list[str | None] = field(default_factory=list)

    def open(self, value: Any, line: int) -> None:
        """A list or an object begins."""
        place = self.add(value, line, None)
        if len(self._open) >= DEEPEST:
            raise Unreadable(f"It is nested deeper than {DEEPEST} levels.", line)
        self._open.append((value, place))
        self._key.append(None)

    def close(self) -> None:
        """A list or an object ends."""
        self._open.pop()
        self._key.pop()

    def add(self, value: Any, line: int, written: str | None) -> Place:
        """A value, or a key; `written` as it stands there, None for what is no scalar."""
        if len(self.lines) >= MOST_VALUES:
            raise Unreadable(f"It holds more than {MOST_VALUES:,} values.", line, "Make it several plans.")
        if not self._open:
            self.root, place = value, Place()
        elif isinstance(self._open[-1][0], list):
            inside, above = self._open[-1]
            place = (*above, len(inside))
            inside.append(value)
        elif self._key[-1] is None:
            return self._takes_key(written, line)
        else:
            inside, above = self._open[-1]
            key, self._key[-1] = self._key[-1], None
            place = (*above, key)
            inside[key] = value
            return place  # its line is that of its key
        self.lines[place] = line
        return place

    def _takes_key(self, key: str | None, line: int) -> Place:
        if key is None:
            raise Unreadable("A key must be a text.", line, "Write `name: value`.")
        inside, above = self._open[-1]
        if key in inside:
            raise Unreadable(f"{key!r:.60} is there twice, first in line {self.lines[(*above, key)]}.", line, _ONE)
        self._key[-1] = key
        self.lines[(*above, key)] = line
        return above


_ONE = "Take one of them away."


def _scalar(written: str, *, plain: bool) -> Any:
    """What a word stands for; in quotes it is always a text."""
    if not plain:
        return written
    if written in _WORDS:
        return _WORDS[written]
    if len(written) <= _LONGEST and re.fullmatch(_NUMBER, written):
        return json.loads(written)
    return written


def _line_of(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _refuse_references(event: Any, line: int) -> None:
    if event.anchor is not None:
        do = "Write it out where it is used."
        raise Unreadable(f"`&{event.anchor}` names a part to repeat it elsewhere.", line, do)
    if event.tag is not None and event.tag != "!":
        raise Unreadable(f"`{event.tag}` is a tag.", line, "Write plain values.")


def _not_yaml(error: Any, text: str) -> Unreadable:
    """A syntax error with the line where it is noticed, and the one where what is broken began."""
    mark, began = error.problem_mark or error.context_mark, error.context_mark
    last = text.rstrip("\n").count("\n")
    line = min(mark.line, last) + 1 if mark is not None else 0
    since = ""
    if error.context and began is not None and began.line < line - 1:
        since = f", {error.context} that begins in line {began.line + 1}"
    return Unreadable(f"It is not YAML: {error.problem}{since}.", line, _CAUSES)


def number_words(resolver: Any) -> None:
    """Have a YAML writer put quotes around texts that `read_yaml` would take for numbers."""
    resolver.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^{_NUMBER}$"), list("-0123456789"))


# --- JSON ---------------------------------------------------------------------------------------------------------


def _json_lines(text: str) -> dict[Place, int]:
    """The lines of a text that is known to be JSON; its values are walked through as they stand there."""
    tree = _Tree()
    for token, line in _tokens(text):
        match token[0]:
            case "{":
                tree.open({}, line)
            case "[":
                tree.open([], line)
            case "}" | "]":
                tree.close()
            case ":" | ",":
                pass
            case _:
                tree.add(None, line, json.loads(token) if token[0] == '"' else token)
    return tree.lines


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, seen = 1, 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", seen, found.start())
        seen = found.start()
        yield found[0], line


def _empty() -> Unreadable:
    return Unreadable("It is empty.", 1, "Write `steps:` and below it at least `- id: first`.")
