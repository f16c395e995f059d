"""What an act may cost before it is done: amounts on accounts, and room under rates. Stores keep the books."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What an account adds up: micro-dollars, or how often something was begun.
Unit = Literal["usd", "count"]
#: The name of the account that a task's own `max_cost` is.
MAX_COST = "max_cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One budget for one value of its scope in one window of time.

    Args:
        key: Its identity in the store.
        name: The budget's or limit's name, for people.
        limit: The most that may be spent and reserved together, in micro-dollars or as a count.
        scope: Whose it is, for people: `platform`, `user ann`.
        window: Which period, for people: `2027-01-15`; empty where it has none.
        until: When the period ends and a fresh account begins, seconds since 1970, or None.
        unit: What it adds up.
        alert_at: Parts of the limit at which people are warned, once each: `(0.8, 1.0)`.
    """

    key: str
    name: str
    limit: int
    scope: str = ""
    window: str = ""
    until: float | None = None
    unit: Unit = "usd"
    alert_at: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A place in a rate limit that an act takes.

    Args:
        key: The limit's identity in the store.
        name: The limit's name, for people.
        quantity: How many units the act takes.
        interval: Nanoseconds that each unit takes to come back.
        burst: Units that may be taken at once.
        says: The limit in words: `10 tasks a minute`.
        refunded: Whether units that were not used after all are given back, as with tokens.
    """

    key: str
    name: str
    quantity: int
    interval: int
    burst: int
    says: str = ""
    refunded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What must fit before an act may begin: all of it, or nothing is taken.

    An act that is a step holds `micros` on every money account until its outcome is written. A charge without a
    step (a task at the door) holds nothing: it is counted, and money accounts must only not be used up.

    Args:
        micros: The most the act can cost, in micro-dollars.
        tokens: The most tokens it can use.
        accounts: What it is charged to.
        rates: What it must fit under.
        agent: Who acts, for reports.
        model: What is paid for, as `provider/model`, for reports.
        queue: Whether a task that does not fit under a limit waits for its turn instead of being refused.
    """

    micros: int = 0
    tokens: int = 0
    accounts: tuple[Account, ...] = ()
    rates: tuple[Rate, ...] = ()
    agent: str = ""
    model: str = ""
    queue: bool = False

    def amount(self, account: Account) -> int:
        """What is asked of an account, in its own unit."""
        return self.micros if account.unit == "usd" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account as the books have it: amounts in micro-dollars, or counts."""

    key: str
    name: str
    scope: str
    window: str
    until: float | None
    unit: Unit
    limit: int
    spent: int
    reserved: int

    @property
    def left(self) -> int:
        """What may still be reserved; never less than 0."""
        return max(0, self.limit - self.spent - self.reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRow:
    """What one group of work cost: `unknown` counts requests whose price is not known and not in `micros`."""

    name: str
    micros: int
    tokens: int
    requests: int
    unknown: int
