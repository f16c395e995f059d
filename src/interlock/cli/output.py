"""The one exit for everything that is printed: answers on stdout, all else on stderr, escape sequences stripped."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TextIO

from interlock.cli.wording import Cell, Ink
from interlock.errors import InterlockError
from interlock.records.masking import without_keys

Color = Literal["auto", "always", "never"]
Piece = str | Ink

_CODES = {"good": "32", "bad": "31", "warn": "33", "accent": "36", "dim": "2", "bold": "1"}
#: Whole terminal sequences: CSI, then strings such as OSC (titles, links, clipboard) with their ends, then the rest.
#: No string holds another one's beginning, and none gives back what it has read: so no letter is read over and over.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x90\x98\x9c-\x9f]{0,4096}+(?:\x07|\x1b\\|\x9c))?"
    r"|\x1b[ -/]*[0-~]?"
)
#: Control bytes but tab and line feed; what turns the reading direction; invisible tags; halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: str) -> str:
    """A text as it may reach a terminal: lines and tabs stay, whatever commands the terminal goes."""
    return _UNSEEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def visible(text: str) -> str:
    """A text on one line in which nothing hides: whatever is no plain character is written as `\\uXXXX`.

    For what a person decides about: nothing may be left out, look like something else or turn the reading direction.
    """
    odd = [char for char in text if not _is_plain(char)]
    if odd:  # then what looks written out must not be mistaken for what was
        text = text.replace("\\", "\\\\")
    for char in dict.fromkeys(odd):
        text = text.replace(char, {"\n": "\\n", "\t": "\\t"}.get(char) or f"\\u{{{ord(char):04x}}}")
    return text


def _is_plain(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(clean(text).split())


class Output:
    """Where a command's words go.

    Args:
        json: Whether the answer is JSON for machines.
        color: `auto` looks at NO_COLOR, FORCE_COLOR, TERM and whether a terminal listens.
        quiet: Say nothing on stderr but errors and questions.
    """

    def __init__(self, *, json: bool = False, color: Color = "auto", quiet: bool = False) -> None:
        self.json = json
        self.color: Color = color
        self.quiet = quiet
        self._status: tuple[str, ...] = ()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, ValueError):  # not a text file: nothing to set
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]

    # On stdout: the answer.

    @property
    def for_people(self) -> bool:
        """Whether a person at a terminal reads the answer."""
        return not self.json and _is_terminal(sys.stdout)

    def answer(self, value: Any) -> None:
        """Print a result: a text as it is, anything else as readable JSON."""
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
        self._out(clean(text).rstrip("\n") + "\n")

    def record(self, value: Any) -> None:
        """Print one JSON value on one line, losing nothing: what a terminal might obey is written as `\\uXXXX`."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        self._out(_UNSEEN.sub(_escaped, text) + "\n")

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Cell | str]],
        *,
        wrap: bool = False,
        spare: Sequence[str] = (),
    ) -> None:
        """Print rows: aligned for people (see `tables.aligned`), tab-separated without a heading for pipes."""
        if not self.for_people:
            cells = ["\t".join(one_line(_pipe(cell)) for cell in row) for row in rows]
            self._out("".join(f"{line}\n" for line in cells))
        elif rows:
            from interlock.cli.tables import aligned

            shown = [[_people(cell) for cell in row] for row in rows]
            colored = self._colored(sys.stdout)
            self._out(aligned(headers, shown, width=_columns(), colored=colored, wrap=wrap, spare=spare))

    def pairs(self, rows: Sequence[tuple[str, Cell | str]]) -> None:
        """Print names with their values; what has no value is left out."""
        told = [(name, value) for name, value in rows if _pipe(value)]
        if not self.for_people:
            self.table((), [[name, value] for name, value in told])
            return
        width = max((len(name) for name, _ in told), default=0)
        for name, value in told:
            shown = value if isinstance(value, Cell) else Cell(value, value)
            lines = clean(shown.people).split("\n")
            lead = [self._painted(Ink(name.ljust(width), "dim"), sys.stdout), *[" " * width] * (len(lines) - 1)]
            for left, line in zip(lead, lines, strict=True):
                self._out(f"{left}  {self._painted(Ink(line, shown.style), sys.stdout)}\n")

    # On stderr: progress, hints, questions, errors.

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal, so that a line may be rewritten."""
        return not self.quiet and _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    def say(self, *pieces: Piece) -> None:
        """Add a line of progress, or a hint."""
        if not self.quiet:
            self._err("".join(self._painted(piece, sys.stderr, single=True) for piece in pieces) + "\n")

    def status(self, *lines: str) -> None:
        """Rewrite the lines at the bottom; without any they are taken away. Does nothing where that is not possible."""
        if not self.is_live:
            return
        width, height = _size()
        room, most = max(20, width - 1), max(1, height - 2)
        shown = tuple(_cut(line, room) for line in lines[:most] if line)
        if shown != self._status:
            painted = "\n".join(self._painted(Ink(line, "dim"), sys.stderr) for line in shown)
            self._raw_err(self._taken_away() + painted)
            self._status = shown

    def _taken_away(self) -> str:
        """What clears the lines at the bottom, from the last one up."""
        return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * (len(self._status) - 1)

    @property
    def can_ask(self) -> bool:
        """Whether a person sits at both ends and can be asked something."""
        return not self.json and _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def prompt(self, text: str) -> None:
        """Put something before a person who is asked, quiet or not."""
        self._err(clean(text), flush=True)

    def ask(self, question: str) -> bool:
        """Ask a person yes or no; anything but yes is no, and so is everything where nobody can be asked."""
        if not self.can_ask:
            return False
        self._err(f"{clean(question)} [y/N] ", flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def error(self, error: InterlockError, *, do: str | None = None, run: str | None = None) -> None:
        """Say what went wrong and what to do: on stderr for people, as one JSON object on stdout for machines."""
        do = error.do if do is None else do
        if self.json:
            told: Mapping[str, Any] = {
                "code": error.code,
                "says": without_keys(error.says),
                "do": do,
                **({"run": run} if run else {}),
            }
            self.record({"error": told})
            return
        says = clean(without_keys(error.says)).split("\n")
        self._err(self._painted(Ink("error", "bad"), sys.stderr) + f": {says[0]}\n")
        self._err("".join(f"{line}\n" for line in says[1:]))
        if do:
            self._err(f"  {clean(do)}\n")
        self._err(self._painted(Ink(f"  [{error.code}]", "dim"), sys.stderr) + "\n")

    # Inside.

    def _painted(self, piece: Piece, stream: TextIO, *, single: bool = False) -> str:
        text, style = piece if isinstance(piece, Ink) else (piece, "")
        # A piece may begin or end with a space, which `one_line` would take.
        text = clean(text).replace("\n", " ") if single else clean(text)
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and text and self._colored(stream) else text

    def _colored(self, stream: TextIO) -> bool:
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return _is_terminal(stream) and os.environ.get("TERM") != "dumb"

    def _out(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read has seen enough: no reason to end a run
            _mute(sys.stdout)
        except (OSError, ValueError) as error:
            _mute(sys.stdout)
            says = "The answer could not be written to standard output."
            raise InterlockError(says, "Check the disk or file it goes to.", code="output.failed") from error

    def _err(self, text: str, *, flush: bool = True) -> None:
        if self._status:
            self._raw_err(self._taken_away())
            self._status = ()
        self._raw_err(text, flush=flush)

    def _raw_err(self, text: str, *, flush: bool = True) -> None:
        with suppress(OSError, ValueError):  # nobody listens any more
            sys.stderr.write(text)
            if flush:
                sys.stderr.flush()


def _mute(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _cut(line: str, columns: int) -> str:
    """A text on one line that takes no more than so many columns: what is broken into two could not be taken away."""
    shown = re.sub(r"[\n\t]", " ", clean(line))[:columns]
    while sum(unicodedata.east_asian_width(char) in "WF" for char in shown) + len(shown) > columns:
        shown = shown[:-1]
    return shown


def _columns() -> int:
    return _size()[0]


def _size() -> tuple[int, int]:
    import shutil

    found = shutil.get_terminal_size((120, 24))
    return found.columns, found.lines


def _people(cell: Cell | str) -> Cell:
    """A cell as a terminal may show it."""
    return cell._replace(people=one_line(cell.people)) if isinstance(cell, Cell) else Cell(one_line(cell), cell)


def _pipe(cell: Cell | str) -> str:
    return cell.pipe if isinstance(cell, Cell) else cell


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
