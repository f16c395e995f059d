"""The commands a script would run, with loops unrolled and words replaced by what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from interlock.governance.shell.grammar import Group, Pipelines, Redirection, Script, Simple
from interlock.governance.shell.lexer import NotUnderstood, Word

#: The most commands one text may come to, loops unrolled.
MAX_CALLS = 500
#: The most words one word in braces may become.
MAX_BRACES = 64

#: Variables whose value is known: the home directory and the workspace, in the spelling paths are judged in.
_KNOWN = {"HOME": "~", "PWD": "."}
#: An unquoted variable with any other value would be split or matched against files.
_UNSPLIT = re.compile(r"[\w./:=,+@%^~-]+")
#: Quoted characters stand this far away while braces and patterns are looked for.
_SHIFT = 0xE000
_SHIFTED = {ord(char): ord(char) + _SHIFT for char in "{},.*?[]~"}
_BACK = {shifted: plain for plain, shifted in _SHIFTED.items()}
_SEQUENCE = re.compile(r"(?:(-?\d{1,9})\.\.(-?\d{1,9})|([A-Za-z])\.\.([A-Za-z]))(?:\.\.(-?\d{1,9}))?", re.ASCII)


class Pattern(str):
    """A word with an unquoted `*`, `?` or `[`, which the shell replaces by the names of files."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One command as it would be run.

    Args:
        argv: The program and its words; a `Pattern` where file names would be filled in.
        assignments: Variables set for it alone.
        redirections: The operators and targets of its own redirections and of the groups around it.
        data: Texts given to it as input, by here-documents and here-strings.
    """

    argv: tuple[str, ...]
    assignments: tuple[tuple[str, str], ...] = ()
    redirections: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()


@dataclass(slots=True)
class Calls:
    """Every command of a script, and those that are connected by pipes, stage by stage."""

    all: list[Call] = field(default_factory=list)
    pipes: list[list[list[Call]]] = field(default_factory=list)


def expand(script: Script) -> Calls:
    """All commands a script may run, whichever way its conditions go.

    Raises:
        NotUnderstood: a word's value is not known, or it comes to too many commands.
    """
    found = Calls()
    for _ in _run(script.pipelines, _KNOWN, found):
        pass
    return found


def _run(pipelines: Pipelines, known: Mapping[str, str], found: Calls) -> Iterator[Call]:
    for pipeline in pipelines:
        stages = [list(_stage(part, known, found)) for part in pipeline]
        if len(stages) > 1:
            found.pipes.append(stages)
        for stage in stages:
            yield from stage


def _stage(part: Simple | Group, known: Mapping[str, str], found: Calls) -> Iterator[Call]:
    redirections, data = _redirections(part.redirections, known)
    if isinstance(part, Simple):
        if len(found.all) >= MAX_CALLS:
            raise NotUnderstood(f"it comes to more than {MAX_CALLS} commands")
        call = Call(_argv(part, known), _assignments(part, known), redirections, data)
        found.all.append(call)
        yield call
        return
    outer = Call((), (), redirections, data)
    if redirections or data:
        found.all.append(outer)
    for variant in _variants(part, known):
        for body in part.bodies:
            for call in _run(body, variant, found):
                yield replace(call, data=call.data + data) if data else call


def _variants(group: Group, known: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """What is known inside a group: for a loop, once for each value."""
    if not group.variable:
        yield known
    for word in group.values:
        for value in texts(word, known):
            yield {**known, group.variable: value}


def _argv(command: Simple, known: Mapping[str, str]) -> tuple[str, ...]:
    program = command.words[0].plain
    if program is None:
        raise NotUnderstood("a program whose name has to be computed")
    return (program, *(text for word in command.words[1:] for text in texts(word, known)))


def _assignments(command: Simple, known: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _only(word, known)) for name, word in command.assignments)


def _redirections(
    written: tuple[Redirection, ...], known: Mapping[str, str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    targets: list[tuple[str, str]] = []
    data: list[str] = []
    for one in written:
        if one.body is not None:
            data.append(one.body)
        elif one.operator == "<<<":
            data.extend(texts(one.target, known))
        else:
            targets.append((one.operator, _only(one.target, known)))
    return tuple(targets), tuple(data)


def _only(word: Word, known: Mapping[str, str]) -> str:
    """The text of a word that must come to exactly one, without patterns."""
    found = texts(word, known) if word.pieces else [""]
    if len(found) != 1 or isinstance(found[0], Pattern):
        raise NotUnderstood("a value or target that has to be computed")
    return found[0]


def texts(word: Word, known: Mapping[str, str]) -> list[str]:
    """What a word stands for: one text, or several where it has braces.

    Raises:
        NotUnderstood: it uses a variable that is not known, or its braces come to too much.
    """
    if word.plain is not None:
        return [word.plain]
    joined, pattern = "", False
    for kind, text in word.pieces:
        if kind == "bare":
            joined += text
        elif kind == "quoted":
            joined += text.translate(_SHIFTED)
        else:
            value = _value(text, known, joined, quoted=kind == "value")
            pattern = pattern or isinstance(value, Pattern)
            joined += value.translate(_SHIFTED)
    return [_finished(one, pattern) for one in _spread(word, joined)]


def _spread(word: Word, joined: str) -> list[str]:
    """The words the braces in a word make of it. Where bash has ideas of its own, nothing is understood."""
    if "{}" in joined and ("," in joined or ".." in joined):
        raise NotUnderstood("empty braces together with others")
    found = _braces(joined)
    if len(found) == 1 and found[0] == joined:
        return found
    kinds = {kind for kind, _ in word.pieces}
    quoted = "".join(text for kind, text in word.pieces if kind == "quoted")
    # Braces come before variables: `$a{b,c}` is `$ab $ac`.
    if "variable" in kinds or any(char in quoted for char in "{},"):
        raise NotUnderstood("braces together with a variable, quotes or other braces")
    if "" in found and kinds != {"bare"}:
        raise NotUnderstood("braces that come to an empty word")
    return [one for one in found if one]


def _finished(text: str, pattern: bool) -> str:
    pattern = pattern or any(char in text for char in "*?[")
    text = text.translate(_BACK)
    return Pattern(text) if pattern else text


def _value(name: str, known: Mapping[str, str], before: str, *, quoted: bool) -> str:
    value = known.get(name)
    if value is None:
        raise NotUnderstood(f"the variable ${name}, whose value is not known")
    if name in _KNOWN and before and not before.endswith(("=", ":")):
        raise NotUnderstood(f"${name} in the middle of a word")
    if not quoted and not isinstance(value, Pattern) and not _UNSPLIT.fullmatch(value):
        raise NotUnderstood(f"the variable ${name} without quotes, which the shell would split")
    return value


def _braces(text: str) -> list[str]:
    """The words one word with braces becomes, as bash does it."""
    start = text.find("{")
    while start >= 0:
        end = _closing(text, start)
        if end is None:
            if "," in text[start:] or ".." in text[start:]:
                raise NotUnderstood("a brace is not closed")
            break
        choices = _choices(text[start + 1 : end])
        if choices is not None:
            tails = _braces(text[end + 1 :])
            heads = [one for choice in choices for one in _braces(choice)]
            if len(heads) * len(tails) > MAX_BRACES:
                raise NotUnderstood(f"braces that come to more than {MAX_BRACES} words")
            return [text[:start] + head + tail for head in heads for tail in tails]
        start = text.find("{", start + 1)
    return [text]


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return None


def _choices(inner: str) -> list[str] | None:
    """The alternatives between two braces, or None where they are just characters."""
    if found := _SEQUENCE.fullmatch(inner):
        return _sequence(found)
    if ".." in inner and "," not in inner:
        raise NotUnderstood("an unusual sequence in braces")
    parts, depth = [""], 0
    for char in inner:
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts if len(parts) > 1 else None


def _sequence(found: re.Match[str]) -> list[str]:
    first, last = found[1] or found[3], found[2] or found[4]
    numbers = found[1] is not None
    low, high = (int(first), int(last)) if numbers else (ord(first), ord(last))
    step = abs(int(found[5] or 1)) or 1
    if abs(high - low) // step >= MAX_BRACES:
        raise NotUnderstood(f"braces that come to more than {MAX_BRACES} words")
    padded = numbers and any(re.match(r"-?0\d", text) for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    sign = 1 if low <= high else -1
    every = range(low, high + sign, sign * step)
    return [f"{number:0{width}d}" if numbers else chr(number) for number in every]
