"""The structure of shell text: pipelines of simple commands, groups, conditions and loops over known words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from interlock.governance.shell.lexer import NotUnderstood, Token, Word, tokens

#: Groups inside groups are read this deep.
MAX_DEPTH = 16

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(=|\+=|\[)", re.ASCII)
#: Words that begin a construct which is not read at all.
_FOREIGN = frozenset({"function", "select", "coproc", "[["})
#: Words that may not stand where a command begins.
_INNER = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "in", "}", "]]"})
_SEPARATORS = frozenset({";", "&", "\n"})
_REDIRECTIONS = frozenset({"<", ">", ">>", ">|", "<&", ">&", "&>", "&>>", "<<", "<<-", "<<<"})
_CASE_ENDS = frozenset({";;", ";&", ";;&"})
#: Loop variables get one letter or a small name: none of these changes how a program behaves.
_LOOP_VARIABLE = re.compile(r"[A-Z]|[a-z][a-z0-9_]{0,30}", re.ASCII)
_LOADED_VARIABLE = re.compile(r"histchars|auto_resume|npm_|.*_proxy", re.ASCII)


@dataclass(frozen=True, slots=True)
class Redirection:
    """Where input comes from or output goes: the operator, its target, and the text of a here-document."""

    operator: str
    target: Word
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command as it was written. `words` begins with the program."""

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, Word], ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Commands run together: a subshell, a condition, a loop. `values` are those a loop's `variable` takes."""

    bodies: tuple[Pipelines, ...]
    redirections: tuple[Redirection, ...] = ()
    variable: str = ""
    values: tuple[Word, ...] = ()


#: What is connected by pipes, in order.
Pipeline = tuple[Simple | Group, ...]
Pipelines = tuple[Pipeline, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A whole text: its pipelines in order, and where the name of each simple command stands in it."""

    pipelines: Pipelines
    names: tuple[tuple[int, int], ...]


def parse(text: str) -> Script:
    """Read shell text.

    Raises:
        NotUnderstood: it is no valid shell text, or uses something that is not understood.
    """
    reader = _Reader(tokens(text))
    pipelines = reader.pipelines(frozenset())
    if reader.at < len(reader.tokens):
        raise NotUnderstood("something closes that was never opened")
    return Script(pipelines, tuple(reader.names))


_END = Token("end", -1)


class _Reader:
    """Reads the tokens of one text from left to right."""

    def __init__(self, found: list[Token]) -> None:
        self.tokens, self.at, self.depth = found, 0, 0
        self.names: list[tuple[int, int]] = []

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else "end"

    def peek(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

    def reserved(self) -> str:
        """The word here, if it is written as reserved words are."""
        word = self.peek().word
        return word.bare if word is not None and self.kind == "word" else ""

    def expect(self, wanted: str) -> None:
        if self.kind != wanted and self.reserved() != wanted:
            raise NotUnderstood(f"`{wanted}` is missing")
        self.at += 1

    def lines(self) -> None:
        while self.kind == "\n":
            self.at += 1

    def pipelines(self, ends: frozenset[str]) -> Pipelines:
        """All pipelines up to one of `ends`, which is left standing; at least one."""
        found: list[Pipeline] = []
        self.lines()
        while True:
            found.append(self.pipeline())
            if self.kind in ("&&", "||"):
                self.at += 1
                self.lines()
                continue
            if self.kind in _SEPARATORS:
                self.at += 1
                self.lines()
            elif not self.ended(ends):
                raise NotUnderstood("a command ends in an unexpected place")
            if self.ended(ends):
                return tuple(found)

    def ended(self, ends: frozenset[str]) -> bool:
        return self.kind == "end" or self.kind in ends or self.reserved() in ends

    def pipeline(self) -> Pipeline:
        if self.reserved() == "!":
            self.at += 1
        found = [self.command()]
        while self.kind in ("|", "|&"):
            self.at += 1
            self.lines()
            found.append(self.command())
        return tuple(found)

    def command(self) -> Simple | Group:
        word = self.reserved()
        if self.kind != "(" and word not in _COMPOUND:
            return self.simple()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotUnderstood("commands inside commands without end")
        self.at += 1
        group = _COMPOUND[word or "("](self)
        self.depth -= 1
        redirections = self.redirections()
        if self.kind == "word" and self.reserved() not in _INNER:
            raise NotUnderstood("a word after a group")
        return Group(group.bodies, redirections, group.variable, group.values)

    def simple(self) -> Simple:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            if more := self.redirections():
                redirections += more
            elif self.kind != "word":
                break
            else:
                word = self.peek().word
                assert word is not None
                self.at += 1
                if not words and (assigned := _assignment(word)):
                    assignments.append(assigned)
                else:
                    words.append(word)
        if not words:
            raise NotUnderstood("a line without a command, or a variable that is set for later")
        if words[0].plain is None:
            raise NotUnderstood("a program whose name has to be computed")
        if words[0].bare in _RESERVED:
            raise NotUnderstood(f"`{words[0].bare}` in this place")
        if words[0].bare == "time" and len(words) > 1 and (words[1].bare in _RESERVED or _assignment(words[1])):
            # After this one keyword that looks like a program, the shell expects a command and not just words.
            raise NotUnderstood("`time` before something that is no program")
        self.names.append((words[0].start, words[0].end))
        return Simple(tuple(words), tuple(assignments), tuple(redirections))

    def redirections(self) -> tuple[Redirection, ...]:
        found: list[Redirection] = []
        while self.kind == "number" or self.kind in _REDIRECTIONS:
            if self.kind == "number":
                self.at += 1
            operator = self.kind
            if operator not in _REDIRECTIONS:
                raise NotUnderstood(f"`{operator}` after a number")
            self.at += 1
            token = self.peek()
            if token.kind != "word" or token.word is None:
                raise NotUnderstood("a redirection without a target")
            self.at += 1
            found.append(Redirection(operator, token.word, token.body))
        return tuple(found)

    def subshell(self) -> Group:
        body = self.pipelines(frozenset({")"}))
        self.expect(")")
        return Group((body,))

    def braces(self) -> Group:
        body = self.pipelines(frozenset({"}"}))
        self.expect("}")
        return Group((body,))

    def condition(self) -> Group:
        bodies = [self.pipelines(frozenset({"then"}))]
        self.expect("then")
        bodies.append(self.pipelines(frozenset({"elif", "else", "fi"})))
        while self.reserved() == "elif":
            self.at += 1
            bodies.append(self.pipelines(frozenset({"then"})))
            self.expect("then")
            bodies.append(self.pipelines(frozenset({"elif", "else", "fi"})))
        if self.reserved() == "else":
            self.at += 1
            bodies.append(self.pipelines(frozenset({"fi"})))
        self.expect("fi")
        return Group(tuple(bodies))

    def loop(self) -> Group:
        condition = self.pipelines(frozenset({"do"}))
        return Group((condition, self.repeated()))

    def repeated(self) -> Pipelines:
        self.expect("do")
        body = self.pipelines(frozenset({"done"}))
        self.expect("done")
        return body

    def each(self) -> Group:
        variable = self.reserved()
        if not _LOOP_VARIABLE.fullmatch(variable) or _LOADED_VARIABLE.match(variable):
            raise NotUnderstood("a loop over a variable with a meaning of its own")
        self.at += 1
        self.lines()
        self.expect("in")
        values: list[Word] = []
        while self.kind == "word":
            word = self.peek().word
            assert word is not None
            values.append(word)
            self.at += 1
        if not values or self.kind not in (";", "\n"):
            raise NotUnderstood("a loop over nothing")
        self.at += 1
        self.lines()
        return Group((self.repeated(),), variable=variable, values=tuple(values))

    def case(self) -> Group:
        self.one_word()
        self.lines()
        self.expect("in")
        self.lines()
        bodies: list[Pipelines] = []
        while self.reserved() != "esac":
            if self.kind == "(":
                self.at += 1
            self.one_word()
            while self.kind == "|":
                self.at += 1
                self.one_word()
            self.expect(")")
            self.lines()
            if self.kind not in _CASE_ENDS and self.reserved() != "esac":
                bodies.append(self.pipelines(_CASE_ENDS | {"esac"}))
            if self.kind in _CASE_ENDS:
                self.at += 1
                self.lines()
        self.expect("esac")
        return Group(tuple(bodies))

    def one_word(self) -> None:
        """A word that is only compared with others. What would be computed in it, the lexer has refused."""
        if self.kind != "word":
            raise NotUnderstood("a word is missing")
        self.at += 1


_COMPOUND = {
    "(": _Reader.subshell,
    "{": _Reader.braces,
    "if": _Reader.condition,
    "while": _Reader.loop,
    "until": _Reader.loop,
    "for": _Reader.each,
    "case": _Reader.case,
}
_RESERVED = _FOREIGN | _INNER | _COMPOUND.keys() | {"!"}


def _assignment(word: Word) -> tuple[str, Word] | None:
    """The name and value of a word that sets a variable for one command."""
    first = word.pieces[0]
    found = _ASSIGNMENT.match(first.text) if first.kind == "bare" else None
    if found is None:
        return None
    if found[2] != "=":
        raise NotUnderstood("an assignment to a part or to the end of a variable")
    rest = (first._replace(text=first.text[found.end() :]), *word.pieces[1:])
    plain = None if word.plain is None else word.plain[found.end() :]
    return found[1], Word(rest, word.start + found.end(), word.end, plain)
