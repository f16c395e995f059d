"""Reads values out of a policy file, each with its place; what is wrong is collected and told all at once."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from interlock.errors import PolicyError
from interlock.governance.terms import Grant, Terms
from interlock.records.toml_lines import Path

Table = Mapping[str, Any]
T = TypeVar("T")

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
#: What every rule that may ask a person can say about that.
ASKING = frozenset({"reason", "approver", "quorum", "expires_in", "grants"})
_GRANTS: dict[str, Grant] = {"run": "run", "rule": "rule"}


class Reader:
    """One policy file being read.

    Args:
        shown: How messages name the file.
        lines: In which line everything stands.
    """

    def __init__(self, shown: str, lines: Mapping[Path, int]) -> None:
        self.shown = shown
        self._lines = lines
        self.problems: list[tuple[int, str]] = []

    def where(self, key: Path) -> str:
        """The place of a value, or of what holds it: `policy.toml:31`."""
        line = self._line(key)
        return f"{self.shown}:{line}" if line else self.shown

    def wrong(self, key: Path, says: str) -> None:
        """Keep what is wrong at a place; the sentence goes on after the place."""
        self.problems.append((self._line(key), f"{self.where(key)} {says}"))

    def refuse(self) -> None:
        """Stop with everything that is wrong, if anything is.

        Raises:
            PolicyError: code `settings.policy`.
        """
        found = [says for _, says in sorted(self.problems, key=lambda one: one[0])]
        if len(found) == 1:
            raise PolicyError(f"{found[0]}.")
        if found:
            listed = "\n".join(f"  {says}" for says in found)
            raise PolicyError(f"{len(found)} things are wrong with the policy:\n{listed}")

    def tables(self, table: Table, name: str) -> list[tuple[Path, Table]]:
        """The tables `[[name]]` with their places."""
        found = table.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            self.wrong((name,), f"{name} must be written as [[{name}]]")
            return []
        return [((name, number), one) for number, one in enumerate(found)]

    def table(self, table: Table, name: str) -> Table:
        """The table `[name]`; an empty one where there is none."""
        found = table.get(name, {})
        if not isinstance(found, Mapping):
            self.wrong((name,), f"{name} must be a table [{name}]")
            return {}
        return found

    def only(self, key: Path, table: Table, known: Collection[str]) -> None:
        """Find fault with keys that nobody reads."""
        for name in table:
            if name not in known:
                like = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
                self.wrong((*key, name), f"unknown key {name!r:.60} (did you mean {like[0]}?)")

    def text(self, key: Path, table: Table, name: str, usual: T) -> str | T:
        """A text that is not empty."""
        value = table.get(name)
        if value is None:
            return usual
        if not isinstance(value, str) or not value.strip():
            self.wrong((*key, name), f"{name} must be a text, not {value!r:.60}")
            return usual
        return value.strip()

    def texts(self, key: Path, table: Table, name: str) -> list[str]:
        """A list of texts; a single text is a list of one."""
        value = table.get(name, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.wrong((*key, name), f"{name} must be a list of texts")
            return []
        return [one.strip() for one in value]

    def choice(self, key: Path, table: Table, name: str, choices: Mapping[str, T], usual: T) -> T:
        """One word of several."""
        value = table.get(name)
        if value is None:
            return usual
        if not isinstance(value, str) or value not in choices:
            self.wrong((*key, name), f"{name} must be one of {', '.join(choices)}, not {value!r:.60}")
            return usual
        return choices[value]

    def number(self, key: Path, table: Table, name: str, usual: T, *, least: float = 1) -> int | T:
        """A whole number."""
        value = table.get(name)
        if value is None:
            return usual
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.wrong((*key, name), f"{name} must be a whole number of {least} or more, not {value!r:.60}")
            return usual
        return value

    def amount(self, key: Path, table: Table, name: str) -> float | None:
        """An amount of money or the like, 0 or more."""
        value = table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            self.wrong((*key, name), f"{name} must be a number of 0 or more, not {value!r:.60}")
            return None
        return float(value)

    def seconds(self, key: Path, table: Table, name: str) -> float | None:
        """A length of time: seconds, or a text like `30m`."""
        value = table.get(name)
        if value is None:
            return None
        found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        seconds = float(found[1]) * _UNITS[found[2]] if found else value
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            self.wrong((*key, name), f"{name} must be seconds, or a time like 30m, 2h or 7d, not {value!r:.60}")
            return None
        return float(seconds)

    def terms(self, key: Path, table: Table, *, asks: bool, usual: Terms | None = None) -> Terms:
        """What goes with a rule's decision.

        Args:
            key: The rule's place.
            table: The rule.
            asks: Whether the rule may ask a person; only then it can say whom.
            usual: What holds where the rule says nothing.
        """
        usual = usual or Terms()
        if not asks and (said := sorted((ASKING - {"reason"}) & table.keys())):
            self.wrong((*key, said[0]), f"{said[0]} has no meaning where nobody is asked")
        return Terms(
            place=self.where(key),
            reason=self.text(key, table, "reason", usual.reason),
            approver=self.text(key, table, "approver", usual.approver),
            quorum=self.number(key, table, "quorum", usual.quorum),
            expires_in=self.seconds(key, table, "expires_in") or usual.expires_in,
            grants=self._grants(key, table) if "grants" in table else usual.grants,
        )

    def _grants(self, key: Path, table: Table) -> tuple[Grant, ...]:
        for word in (words := self.texts(key, table, "grants")):
            if word not in _GRANTS:
                self.wrong((*key, "grants"), f"grants holds {word!r:.60}; it may hold run and rule")
        return tuple(_GRANTS[word] for word in words if word in _GRANTS)

    def _line(self, key: Path) -> int:
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 0)
