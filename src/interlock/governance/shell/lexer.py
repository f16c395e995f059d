"""Reads shell text into words and operators, and refuses every character it does not fully understand.

The reader is strict on purpose. What bash would still have to compute (substitutions, arithmetic, most parameters)
and what programs read differently from people (control and invisible characters, words glued by a line
continuation) is not guessed at: it raises `NotUnderstood`, and nothing that is not understood is allowed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

#: Longest text that is read, in UTF-8 bytes.
MAX_TEXT = 20_000

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_OPERATOR = re.compile(r";;&|;;|;&|;|&&|&>>|&>|&|\|\||\|&|\||<<<|<<-|<<|<&|<>|<|>>|>&|>\||>|[()\n]")
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,+@%^-]+(?=[ \t\n;&|)]|$)")
_BARE = re.compile(r"[^ \t\n;&|<>()'\"\\$`]+")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
_QUOTED = re.compile(r'[^"\\$`]+')
_SHELL_DIRECTORY = re.compile(r"~[-+0-9]")
_ENDS_WORD = frozenset(" \t\n;&|<>()")
#: What may follow a dollar inside double quotes without making it an expansion.
_DOLLAR_TEXT = re.compile(r"""\$(?=["\\' |/)},.:;%&<>~^+=\]\t])""")
#: The escapes of `$'...'` that are understood, and what they stand for.
_ANSI = {"t": "\t", "n": "\n", "\\": "\\", "'": "'", '"': '"'}
_DELIMITER = re.compile(r"\w[\w.-]*", re.ASCII)


class NotUnderstood(ValueError):
    """The text says something this reader does not understand, so nothing may be concluded from it."""


class Piece(NamedTuple):
    """A part of a word.

    `kind` is "bare" (unquoted text), "quoted" (text), "variable" (an unquoted name) or "value" (a quoted name).
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its pieces, where it stands, and its final text where nothing in it has to be expanded."""

    pieces: tuple[Piece, ...]
    start: int
    end: int
    plain: str | None

    @property
    def bare(self) -> str:
        """The text of a word without any quotes or variables, as reserved words must be written; else ""."""
        return self.pieces[0].text if len(self.pieces) == 1 and self.pieces[0].kind == "bare" else ""


class Token(NamedTuple):
    """A word (`kind` is "word"), an operator (`kind` is its text), or a number before a redirection ("number")."""

    kind: str
    start: int
    word: Word | None = None
    #: The text of the here-document, on the token that names its end.
    body: str | None = None


def check_characters(text: str) -> None:
    """Refuse what a terminal, a person and a shell may read differently.

    Raises:
        NotUnderstood: it is too long, or has control, invisible or private characters or unusual spaces.
    """
    if len(text) > MAX_TEXT or (not text.isascii() and len(text.encode(errors="replace")) > MAX_TEXT):
        raise NotUnderstood(f"it has more than {MAX_TEXT:,} bytes")
    if found := _CONTROL.search(text):
        raise NotUnderstood(f"it contains the control character U+{ord(found[0]):04X}")
    if text.isascii():
        return
    for char in set(text) - {" ", "\n", "\t"}:
        if unicodedata.category(char) in _REFUSED_CATEGORIES:
            raise NotUnderstood(f"it contains the invisible character or unusual space U+{ord(char):04X}")


def tokens(text: str) -> list[Token]:
    """All words and operators of a text, comments left out.

    Raises:
        NotUnderstood: something in it is not understood; the sentence says what.
    """
    check_characters(text)
    return _Lexer(text).read()


class _Lexer:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: list[Token] = []
        #: Here-documents whose text begins after this line: where their token is, and how they were written.
        self.pending: list[tuple[int, str]] = []
        self.opened = ""

    def read(self) -> list[Token]:
        text, size = self.text, len(self.text)
        while True:
            self._skip_blanks()
            if self.at >= size:
                break
            if text[self.at] == "#":
                end = text.find("\n", self.at)
                self.at = end if end >= 0 else size
            elif operator := _OPERATOR.match(text, self.at):
                self._operator(operator[0])
            else:
                self._word()
        if self.pending or self.opened:
            raise NotUnderstood("a here-document has no end")
        return self.found

    def _skip_blanks(self) -> None:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char in " \t":
                self.at += 1
            elif char == "\\" and text.startswith("\n", self.at + 1):
                self._continuation()
            else:
                return

    def _continuation(self) -> None:
        """A backslash before the end of a line, which must not glue two words together."""
        before = self.text[self.at - 1] if self.at else " "
        after = self.text[self.at + 2 : self.at + 3] or " "
        if before not in " \t\n" and after not in " \t\n":
            raise NotUnderstood("a word goes on over the end of a line")
        self.at += 2

    def _operator(self, operator: str) -> None:
        start, self.at = self.at, self.at + len(operator)
        if self.opened:
            raise NotUnderstood("a here-document has no name")
        after = self.text[self.at : self.at + 1]
        if after == "(" and operator[-1] in "<>(":
            raise NotUnderstood("a process substitution or an arithmetic command")
        self.found.append(Token(operator, start))
        if operator in ("<<", "<<-"):
            self.opened = operator
        elif operator == "\n" and self.pending:
            self._documents()

    def _documents(self) -> None:
        for index, opened in self.pending:
            token = self.found[index]
            assert token.word is not None
            lines, end = [], token.word.plain
            while True:
                if self.at >= len(self.text):
                    raise NotUnderstood("a here-document has no end")
                stop = self.text.find("\n", self.at)
                line = self.text[self.at :] if stop < 0 else self.text[self.at : stop]
                self.at += len(line) + 1
                line = line.lstrip("\t") if opened == "<<-" else line
                if line == end:
                    break
                lines.append(line)
            body = "\n".join(lines)
            if token.word.bare and re.search(r"[$`\\]", body):
                raise NotUnderstood("a here-document in which the shell would replace something")
            self.found[index] = token._replace(body=body)
        self.pending.clear()

    def _word(self) -> None:
        start = self.at
        if quick := _PLAIN.match(self.text, start):
            self.at = quick.end()
            self._add(Word((Piece("bare", quick[0]),), start, self.at, quick[0]))
            return
        pieces: list[Piece] = []
        while self.at < len(self.text) and (char := self.text[self.at]) not in _ENDS_WORD:
            if char == "\\" and self.text.startswith("\n", self.at + 1):
                self._continuation()
                break
            self._piece(char, pieces)
        if pieces[0].kind == "bare" and _SHELL_DIRECTORY.match(pieces[0].text):
            raise NotUnderstood("a directory only the shell knows")
        self._add(Word(tuple(pieces), start, self.at, _plain(pieces)))

    def _add(self, word: Word) -> None:
        after = self.text[self.at : self.at + 1]
        if after == "(":
            raise NotUnderstood("a function, an array or an extended pattern")
        if after in ("<", ">") and after:
            if word.bare.isdecimal() and word.bare.isascii():
                self.found.append(Token("number", word.start, word))
                return
            if word.pieces[0].text.startswith("{"):
                raise NotUnderstood("a redirection to a variable")
        if self.opened:
            self._open(word)
        elif self.pending and any("\n" in piece.text for piece in word.pieces):
            raise NotUnderstood("a quoted line end beside a here-document")
        self.found.append(Token("word", word.start, word))

    def _open(self, word: Word) -> None:
        if word.plain is None or not _DELIMITER.fullmatch(word.plain) or len(word.pieces) != 1:
            raise NotUnderstood("a here-document with an unusual name")
        self.pending.append((len(self.found), self.opened))
        self.opened = ""

    def _piece(self, char: str, pieces: list[Piece]) -> None:
        text, start = self.text, self.at
        if char == '"':
            self._double(pieces)
        elif char == "'":
            pieces.append(self._single(start + 1))
        elif char == "$":
            pieces.append(self._dollar())
        elif char == "\\":
            if start + 1 >= len(text):
                raise NotUnderstood("a backslash at the end")
            self.at = start + 2
            pieces.append(Piece("quoted", text[start + 1]))
        elif found := _BARE.match(text, start):
            self.at = found.end()
            pieces.append(Piece("bare", found[0]))
        else:
            raise NotUnderstood("a command substitution")

    def _single(self, start: int) -> Piece:
        end = self.text.find("'", start)
        if end < 0:
            raise NotUnderstood("a quote is not closed")
        self.at = end + 1
        return Piece("quoted", self.text[start:end])

    def _dollar(self) -> Piece:
        text = self.text
        if found := _VARIABLE.match(text, self.at):
            self.at = found.end()
            return Piece("variable", found[1] or found[2])
        if text.startswith("$'", self.at):
            return self._ansi()
        if text[self.at + 1 : self.at + 2] in ("", " ", "\t", "\n", ";", "&", "|", ")"):
            self.at += 1
            return Piece("quoted", "$")
        raise NotUnderstood("a substitution or a parameter whose value is not known")

    def _ansi(self) -> Piece:
        text, kept = self.text, list[str]()
        self.at += 2
        while self.at < len(text):
            char = text[self.at]
            if char == "'":
                self.at += 1
                return Piece("quoted", "".join(kept))
            if char == "\\":
                self.at += 1
                char = _ANSI.get(text[self.at : self.at + 1], "")
                if not char:
                    raise NotUnderstood("an escape in $'...'")
            kept.append(char)
            self.at += 1
        raise NotUnderstood("a quote is not closed")

    def _double(self, pieces: list[Piece]) -> None:
        text, kept = self.text, list[str]()
        self.at += 1
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                pieces.append(Piece("quoted", "".join(kept)))
                return
            if char == "$" and (found := _VARIABLE.match(text, self.at)):
                pieces += [Piece("quoted", "".join(kept)), Piece("value", found[1] or found[2])]
                kept = []
                self.at = found.end()
            else:
                kept.append(self._in_double(char))
        raise NotUnderstood("a quote is not closed")

    def _in_double(self, char: str) -> str:
        text = self.text
        if char == "\\":
            after = text[self.at + 1 : self.at + 2]
            if after == "\n":
                raise NotUnderstood("a word goes on over the end of a line")
            self.at += 2
            return after if after in '$`"\\' else f"\\{after}"
        if char == "$" and _DOLLAR_TEXT.match(text, self.at):
            self.at += 1
            return "$"
        found = _QUOTED.match(text, self.at)
        if found is None:
            raise NotUnderstood("a substitution or a parameter whose value is not known")
        self.at = found.end()
        return found[0]


def _plain(pieces: list[Piece]) -> str | None:
    """The final text, or None where something has to be expanded: a variable, a pattern, or braces."""
    bare = "".join(piece.text for piece in pieces if piece.kind == "bare")
    if any(char in bare for char in "*?[") or ("{" in bare and ("," in bare or ".." in bare)):
        return None
    if any(piece.kind in ("variable", "value") for piece in pieces):
        return None
    return "".join(piece.text for piece in pieces)
