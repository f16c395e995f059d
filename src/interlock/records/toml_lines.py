"""In which line of a TOML text each key stands; the standard library's reader does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

#: The place of a value: keys, and the number of an element in a list, from 0.
Path = tuple[str | int, ...]


def lines_of(text: str) -> dict[Path, int]:
    """The line of every table, key and element of a list, from 1.

    What stands in a list of tables (`[[rule]]`) is found twice: by its number, `("rule", 0, "name")`, and without it
    where it stands first, `("rule", "name")`.

    Args:
        text: A text that `tomllib` reads without complaint.
    """
    return _Scanner(text).document()


class _Scanner:
    """Walks through a text that is known to be TOML and writes down where things begin."""

    _TOKEN = re.compile(
        r'''(?P<skip>\#[^\n]*|[ \t\r]+)
          | (?P<end>\n)
          | (?P<text>"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
          | (?P<mark>[\[\]{}=,.])
          | (?P<bare>[^\s\#"'\[\]{}=,.]+)''',
        re.DOTALL | re.VERBOSE,
    )

    def __init__(self, text: str) -> None:
        self._tokens = self._cut(text)
        self._kind, self._now, self._line = next(self._tokens)
        self._lines: dict[Path, int] = {}
        self._listed: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        """The line of everything."""
        table: Path = ()
        while self._kind != "stop":
            if self._kind == "end":
                self._next()
            elif self._now == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _cut(self, text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for found in self._TOKEN.finditer(text):
            kind = found.lastgroup or "skip"
            if kind != "skip":
                yield kind, found[0], line
            line += found[0].count("\n")
        while True:
            yield "stop", "", line

    def _next(self) -> str:
        before = self._now
        self._kind, self._now, self._line = next(self._tokens)
        return before

    def _skip_ends(self) -> None:
        while self._kind == "end":
            self._next()

    def _header(self) -> Path:
        line, depth = self._line, 0
        while self._now == "[":
            self._next()
            depth += 1
        table: Path = ()
        while True:
            table = (*table, self._part())
            self._found(table, line)
            if self._now != ".":
                break
            if table in self._listed:  # below the table that was last put into the list
                table = (*table, self._listed[table])
            self._next()
        while self._now == "]":
            self._next()
        if depth == 2:
            self._listed[table] = self._listed.get(table, -1) + 1
        if table in self._listed:
            table = (*table, self._listed[table])
            self._found(table, line)
        return table

    def _part(self) -> str:
        part = self._next()
        return str(tomllib.loads(f"k = {part}")["k"]) if part[0] in "\"'" else part

    def _key(self, table: Path) -> Path:
        key, line = table, self._line
        while True:
            key = (*key, self._part())
            self._found(key, line)
            if self._now != ".":
                return key
            self._next()

    def _found(self, key: Path, line: int) -> None:
        self._lines.setdefault(key, line)
        plain = tuple(part for part in key if isinstance(part, str))
        self._lines.setdefault(plain, line)

    def _pair(self, table: Path) -> None:
        key = self._key(table)
        self._next()  # the equals sign
        self._value(key)

    def _value(self, key: Path) -> None:
        if self._now in ("{", "["):
            closing, number = ("}" if self._next() == "{" else "]"), 0
            self._skip_ends()
            while self._now != closing:
                if closing == "}":
                    self._pair(key)
                else:
                    self._lines.setdefault((*key, number), self._line)
                    self._value((*key, number))
                number += 1
                self._skip_ends()
                if self._now == ",":
                    self._next()
                    self._skip_ends()
            self._next()
            return
        while self._kind not in ("end", "stop") and self._now not in (",", "]", "}"):
            self._next()
