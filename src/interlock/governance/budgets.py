"""Budgets: how much money may be spent, by whom and in which period, as accounts that an act is charged to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from interlock.errors import UsageError
from interlock.records.charge import MAX_COST, Account
from interlock.records.money import usd_to_micros
from interlock.records.verdict import Act

Per = Literal["run", "task", "hour", "day", "month", "total"]
Scope = Literal["platform", "run", "task", "agent", "user", "tenant"]
#: What a budget can be narrowed to.
Matched = Literal["agent", "model", "provider", "user", "tenant"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: What is known of a task at the door; a budget about anything else is looked at when a model is called.
_KNOWN_AT_THE_DOOR = frozenset({"platform", "user", "tenant"})


class Window(NamedTuple):
    """A period by its name for people, and when it ends."""

    name: str
    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that may be spent in a period. What does not fit any more is not begun.

    Every value of the scope has an account of its own: with `scope="user"` each user may spend the limit.

    Args:
        limit: US dollars, as `"50 USD"`, `50` or `0.25`.
        per: The period: an `hour`, `day` or `month` of the calendar in UTC, a `run` (or `task`, which is the same),
            or `total` for ever.
        scope: Whose money it is: the whole `platform`'s, or that of each run, agent, user or tenant.
        alert_at: At which part of the limit people are warned, once for each period; several are accepted, and None
            warns only when it is used up.
        name: What it is called in errors and reports; by default scope and period, as `platform-day`.
        unknown_price: Whether a model call that nobody can price is refused (`block`) or let through (`allow`).
        match: Only for acts like this: patterns for `agent`, `model`, `provider`, `user` or `tenant`, for example
            `{"model": "gpt-*"}`.

    Raises:
        UsageError: code `usage.budget`, when a part is wrong.
    """

    limit: str | int | float | Decimal
    per: Per = "day"
    scope: Scope = "platform"
    alert_at: float | tuple[float, ...] | None = 0.8
    name: str = ""
    unknown_price: Literal["block", "allow"] = "block"
    match: Mapping[str, str] = field(default_factory=dict, hash=False)
    micros: int = field(init=False, repr=False, compare=False)
    alerts: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "micros", usd_to_micros(self.limit))
        except UsageError as error:
            raise _unusable(f"The limit of a budget is wrong. {error.says}", error.do) from None
        for part, known in (("per", Per), ("scope", Scope), ("unknown_price", Literal["block", "allow"])):
            if getattr(self, part) not in get_args(known):
                raise _unusable(f"{part} must be one of {', '.join(get_args(known))}, not {getattr(self, part)!r:.40}.")
        object.__setattr__(self, "name", self.name or f"{self.scope}-{self.per}")
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise _unusable(f"{self.name!r:.80} is no name a budget can have.")
        object.__setattr__(self, "alerts", _alerts(self.alert_at))
        if not isinstance(self.match, Mapping) or any(key not in get_args(Matched) for key in self.match):
            raise _unusable(f"match takes patterns for {', '.join(get_args(Matched))}, not {self.match!r:.80}.")
        object.__setattr__(self, "match", MappingProxyType({key: str(value) for key, value in self.match.items()}))

    def applies(self, act: Act) -> bool:
        """Whether this budget pays for an act."""
        if not self.match:
            return True
        found = {
            "agent": act.agent,
            "model": act.name.lower(),
            "provider": str(act.arguments.get("provider", "")).lower(),
            "user": act.user or "",
            "tenant": act.tenant or "",
        }
        # Prices do not tell case in these apart, so neither does who pays them.
        folded = {key: one.lower() if key in ("model", "provider") else one for key, one in self.match.items()}
        return all(fnmatchcase(found[key], pattern) for key, pattern in folded.items())

    def applies_at_the_door(self, act: Act) -> bool:
        """Whether it is known of a task, before anyone works on it, that this budget pays for it."""
        plain = self.per not in ("run", "task") and self.scope in _KNOWN_AT_THE_DOOR
        return plain and {*self.match} <= {"user", "tenant"} and self.applies(act)

    def account(self, act: Act, now: float) -> Account:
        """The account that an act is charged to.

        Args:
            act: The act; its run, agent, user and tenant say whose account it is.
            now: Seconds since 1970.
        """
        window = window_of(self.per, now)
        whose = {"run": act.run_id, "task": act.run_id, "agent": act.agent, "user": act.user, "tenant": act.tenant}
        value = whose.get(self.scope) or ""
        words = "platform" if self.scope == "platform" else f"{self.scope} {value}" if value else f"no {self.scope}"
        if self.per in ("run", "task") and self.scope not in ("run", "task"):
            value, words = f"{act.run_id}|{value}", f"{words}, run {act.run_id}"
        return Account(
            # The value stands last: whatever is in it, no two accounts have the same key.
            key=f"{self.name}|{window.name}|{value}",
            name=self.name,
            limit=self.micros,
            scope=words,
            window=window.name,
            until=window.until,
            alert_at=self.alerts,
        )


def max_cost_account(act: Act, limit: int) -> Account:
    """The account of a run whose task says what it may cost at most, in micro-dollars."""
    return Account(
        key=f"{MAX_COST}||{act.run_id}",
        name=MAX_COST,
        limit=limit,
        scope=f"run {act.run_id}",
        alert_at=(0.8, 1.0),
    )


def window_of(per: Per, now: float) -> Window:
    """The period of the calendar, in UTC, that a time falls into."""
    at = datetime.fromtimestamp(now, UTC)
    match per:
        case "hour":
            start = at.replace(minute=0, second=0, microsecond=0)
            return Window(start.strftime("%Y-%m-%d %H:00"), (start + timedelta(hours=1)).timestamp())
        case "day":
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return Window(start.strftime("%Y-%m-%d"), (start + timedelta(days=1)).timestamp())
        case "month":
            start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            following = (start + timedelta(days=32)).replace(day=1)
            return Window(start.strftime("%Y-%m"), following.timestamp())
        case _:
            return Window("", None)


def _alerts(given: Any) -> tuple[float, ...]:
    """The parts of the limit at which people are warned; being used up is always one of them."""
    parts: Iterable[Any] = () if given is None else given if isinstance(given, tuple | list) else (given,)
    found = {1.0}
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
            raise _unusable(f"alert_at is a part of the limit, above 0 and at most 1, not {part!r:.40}.")
        found.add(float(part))
    return tuple(sorted(found))


def _unusable(says: str, do: str = "") -> UsageError:
    return UsageError(says, do, code="usage.budget")
