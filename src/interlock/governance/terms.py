"""What a rule says besides its decision: where it stands, why, who may answer, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interlock.records.verdict import Effect, Verdict

Grant = Literal["run", "rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What goes with a rule's decision.

    Args:
        place: Where the rule stands, for example `policy.toml:31`.
        reason: One sentence for people, instead of the usual one.
        approver: Who may answer, where a person must: a user or a role.
        quorum: How many different people must agree.
        expires_in: Seconds after which silence is a denial; None for the platform's own limit.
        grants: What else may be answered: `run` for the rest of the run, `rule` to save a rule. None for the usual.
    """

    place: str = ""
    reason: str = ""
    approver: str | None = None
    quorum: int = 1
    expires_in: float | None = None
    grants: tuple[Grant, ...] | None = None

    def verdict(
        self, effect: Effect, rule: str, reason: str = "", *, usual: tuple[Grant, ...] = (), code: str = ""
    ) -> Verdict:
        """The verdict of a rule with these terms.

        Args:
            effect: What the rule decides.
            rule: Its name.
            reason: The usual sentence, where the terms have none.
            usual: What else may be answered, where the terms do not say.
            code: The code of the error that a block becomes.
        """
        says = self.reason or reason
        if effect is not Effect.APPROVAL:
            return Verdict(effect=effect, rule=rule, reason=says, place=self.place, code=code)
        return Verdict(
            effect=effect,
            rule=rule,
            reason=says,
            place=self.place,
            approver=self.approver,
            quorum=self.quorum,
            expires_in=self.expires_in,
            grants=usual if self.grants is None else self.grants,
        )


NO_TERMS = Terms()
#: What a person may answer about a command or a tool call besides yes and no, unless a rule says otherwise.
USUAL_GRANTS: tuple[Grant, ...] = ("run", "rule")
