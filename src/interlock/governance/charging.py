"""The gate's voice about money and pace: what an act may cost at most, and which budgets and limits it must fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from interlock.errors import PriceUnknown
from interlock.governance.budgets import Budget, max_cost_account
from interlock.governance.limits import RateLimits, TierOf, UnknownTier
from interlock.records.charge import MAX_COST, Account, Charge
from interlock.records.verdict import Act, Effect, Verdict

#: The most that a request can cost, by provider, model, tokens sent and received, and how often it may use each of the
#: provider's own tools; None where nobody knows.
AtMost = Callable[[str, str, int, int, Mapping[str, int]], int | None]

#: Tokens that a vendor may add to what is sent: marks of turns, and its own words about tools.
ADDED_BY_VENDOR = 1_000
#: Tokens that one use of a provider's own tool is taken to bring back. No vendor bounds them: OpenAI counts 8,000 for a
#: search of its small models, and for others what was read (https://developers.openai.com/api/docs/pricing).
BROUGHT_BACK = 10_000


class Till:
    """A judge at the gate (see `governance.gate.Judge`) that says what must fit before an act begins.

    It reserves nothing itself: whether it fits is decided where the act's intent is written, in the same transaction.

    Args:
        budgets: Gives the budgets there are.
        limits: Gives the rate limits.
        at_most: Says what a request can cost at most.
        now: The time, in seconds since 1970.
        tier_of: Says in which tier a user is, where there are tiers.
    """

    def __init__(
        self,
        budgets: Callable[[], Sequence[Budget]],
        limits: Callable[[], RateLimits | None],
        at_most: AtMost,
        now: Callable[[], float],
        tier_of: TierOf | None = None,
    ) -> None:
        self._budgets = budgets
        self._limits = limits
        self._at_most = at_most
        self._now = now
        self._tier_of = tier_of

    def __call__(self, act: Act) -> Verdict | None:
        """What must fit for a task, a model request, or an agent that is a function; None where nothing applies."""
        budgets, limits = self._budgets(), self._limits()
        if limits is not None and limits.budget is not None:
            budgets = [*budgets, limits.budget]
        if act.kind == "task":
            return self._task(act, budgets, limits)
        applying = [budget for budget in budgets if budget.applies(act)]
        return self._work(act, applying, limits)

    def _task(self, act: Act, budgets: Sequence[Budget], limits: RateLimits | None) -> Verdict | None:
        now = self._now()
        accounts = [budget.account(act, now) for budget in budgets if budget.applies_at_the_door(act)]
        try:
            rates = tuple(limits.rates(act, 0, self._tier_of)) if limits is not None else ()
        except UnknownTier as error:
            return Verdict(effect=Effect.BLOCK, rule="tiers", reason=error.user_message)
        accounts += limits.counts(act, now) if limits is not None else ()
        queue = limits is not None and limits.queue
        return _charged(Charge(accounts=tuple(accounts), rates=rates, queue=queue))

    def _work(self, act: Act, budgets: Sequence[Budget], limits: RateLimits | None) -> Verdict | None:
        now = self._now()
        accounts = [budget.account(act, now) for budget in budgets]
        if act.max_cost_micros is not None:
            accounts.append(max_cost_account(act, act.max_cost_micros))
        if act.kind != "model":  # what a function costs is known when it says so
            return _charged(Charge(accounts=tuple(accounts), agent=act.agent))
        sent, received = _tokens(act)
        tokens = sent + received
        rates = tuple(limits.rates(act, tokens, None)) if limits is not None else ()
        if not accounts and not rates:
            return None
        model = f"{act.arguments.get('provider', '')}/{act.name}"
        micros = self._bound(act, sent, received) if accounts else 0
        strict = [budget.name for budget in budgets if budget.unknown_price == "block"]
        if act.max_cost_micros is not None:
            strict.append(MAX_COST)
        if micros is None and strict:
            return _unknown(model, strict[0], bounded=received > 0)
        return _charged(
            Charge(
                micros=micros or 0,
                tokens=tokens,
                accounts=_once(accounts),
                rates=rates,
                agent=act.agent,
                model=model,
            )
        )

    def _bound(self, act: Act, sent: int, received: int) -> int | None:
        if received <= 0:
            return None
        uses = _uses(act)
        sent = _sent_with(sum(uses.values()), sent, received)
        return self._at_most(str(act.arguments.get("provider", "")), act.name, sent, received, uses)


def _tokens(act: Act) -> tuple[int, int]:
    """The most tokens that a request sends and receives; 0 received where nobody set a bound.

    Tokenizers that work on bytes make at most one token of each (Wang, Cho and Gu, "Neural Machine Translation with
    Byte-Level Subwords", 2020), so no tokenizer is needed for a bound that holds.
    """
    sent, received = act.arguments.get("input_bytes"), act.arguments.get("max_output_tokens")
    if not isinstance(sent, int) or not isinstance(received, int) or isinstance(received, bool):
        return 0, 0
    return sent + ADDED_BY_VENDOR, max(0, received)


def _uses(act: Act) -> dict[str, int]:
    """How often a request may use each of the provider's own tools, by name."""
    given = act.arguments.get("native")
    found = given if isinstance(given, Mapping) else {}
    return {name: most for name, most in found.items() if isinstance(most, int) and most > 0}


def _sent_with(uses: int, sent: int, received: int) -> int:
    """The tokens that are sent in all where a provider uses tools of its own: after each use it shows the model again
    what it was sent, what it has said, and all that was brought back."""
    return sent * (uses + 1) + received * uses + BROUGHT_BACK * uses * (uses + 1) // 2


def _once(accounts: Sequence[Account]) -> tuple[Account, ...]:
    return tuple({account.key: account for account in accounts}.values())


def _charged(charge: Charge) -> Verdict | None:
    if not charge.accounts and not charge.rates:
        return None
    return Verdict(effect=Effect.ALLOW, charge=charge)


def _unknown(model: str, budget: str, *, bounded: bool) -> Verdict:
    why = "has no known price" if bounded else "has no bound on its output"
    return Verdict(
        effect=Effect.BLOCK,
        rule=budget,
        reason=f"A call to {model} {why}, and the budget {budget} applies to it.",
        code=PriceUnknown.code,
    )
