"""The one error tree: every failure has a stable code, a sentence for people, and a next step.

    InterlockError(says, do)
       UsageError          you asked for something impossible        exit 2
          SettingsError    a setting, file or variable is wrong      exit 2
             PolicyError   policy.toml cannot be used                exit 2
       NotFound            that id is not here                       exit 7
       Refused             a rule or a person said no                exit 5
          RateLimited      too much for now; later it may be fine    exit 5
          Denied           a person said no, or nobody said yes      exit 5
          AuditFailed      what cannot be recorded is not done       exit 5
       AwaitingApproval    someone must answer first                 exit 3
       OverBudget          money or time is used up                  exit 6
       Conflict            someone else holds it, or it is taken     exit 1
       AgentFailed         the worker failed                         exit 1
          RateLimitError  AuthenticationError (exit 4)  AgentTimeoutError  AgentAPIError
          ConnectionFailed  InvalidRequest  OutputInvalid  ToolFailed
       StoreFailed         the journal cannot be trusted             exit 1
       VaultFailed         the vault cannot be opened or written     exit 1

`says` and `do` are shown to users; `detail` goes to logs only and must never be shown.
"""

from __future__ import annotations

from typing import ClassVar


class InterlockError(Exception):
    """Something Interlock can explain.

    Args:
        says: One sentence for people: what happened.
        do: The next step for people.
        code: A stable dotted code; by default that of the class.
        detail: Internal context for logs. Never shown to users.
        retry_after: Seconds to wait before trying again, where the other side said so.
    """

    code: str = "failed"
    #: Which limit or budget said no, where one did.
    rule: str = ""
    #: Whether a call that ended so may have cost money. False only where it is known to have been free.
    may_have_cost: bool = True
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    default_do: ClassVar[str] = "Run `interlock doctor` to see what is wrong."

    def __init__(
        self, says: str, do: str = "", *, code: str = "", detail: str = "", retry_after: float | None = None
    ) -> None:
        self.says = says
        self.do = do or self.default_do
        self.detail = detail
        self.retry_after = retry_after
        if code:
            self.code = code
        super().__init__(says)

    def __str__(self) -> str:
        return f"{self.code}: {self.says}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.says, self.do, self.code, self.detail, self.retry_after))

    @property
    def user_message(self) -> str:
        """What a person may see: the sentence and the next step, nothing internal."""
        return f"{self.says} {self.do}".strip()

    @property
    def hint(self) -> str:
        """The next step, under the name the guides use."""
        return self.do


def _rebuild(
    cls: type[InterlockError], says: str, do: str, code: str, detail: str, retry_after: float | None
) -> InterlockError:
    return cls(says, do, code=code, detail=detail, retry_after=retry_after)


class UsageError(InterlockError):
    """You asked for something impossible."""

    code = "usage.invalid"
    exit_code = 2
    default_do = "Correct the call and try again; nothing was done."


class SettingsError(UsageError):
    """A setting, a settings file or an environment variable is wrong."""

    code = "settings.invalid"
    default_do = "Correct the setting; `interlock config show --origin` says where each value comes from."


class PolicyError(SettingsError):
    """policy.toml cannot be used as it is."""

    code = "settings.policy"
    default_do = "Correct the file; `interlock policy check` says when it is good."


class NotFound(InterlockError):
    """That id is not here."""

    code = "run.not_found"
    exit_code = 7
    default_do = "`interlock run list` shows the ids that exist."


class Refused(InterlockError):
    """A rule or a person said no. Do not retry."""

    code = "policy.refused"
    exit_code = 5
    default_do = "Do not retry. Change the request, or ask whoever owns the rule."


class Denied(Refused):
    """A person said no, or nobody answered in time. Do not retry."""

    code = "approval.denied"


class RateLimited(Refused):
    """A rule refuses more for now."""

    code = "policy.rate_limit"
    retryable = True
    default_do = "Wait, then do the same again."


class AwaitingApproval(InterlockError):
    """Someone must answer before this can go on."""

    code = "approval.waiting"
    exit_code = 3
    default_do = "The run goes on when it is answered."


class OverBudget(InterlockError):
    """Money or time is used up."""

    code = "budget.exceeded"
    exit_code = 6
    default_do = "Raise the limit or wait for the next period."


class PriceUnknown(OverBudget):
    """Nobody can say what a call would cost at most, and a budget applies to it."""

    code = "budget.unknown_price"
    default_do = (
        'Give the model a price: `[prices."PROVIDER/MODEL"]` in interlock.toml with `input` and `output`; '
        'or say `unknown_price = "allow"` in the budget.'
    )


class Conflict(InterlockError):
    """Someone else holds it, or the name is taken by different work."""

    code = "run.conflict"
    default_do = "`interlock run show ID` tells who holds it."


class DrivenElsewhere(Conflict):
    """Another process drives this run just now."""

    code = "run.driven_elsewhere"
    retryable = True
    default_do = "Watch it with `interlock run watch ID`; resume it when that process has ended."


class AgentFailed(InterlockError):
    """The agent could not do the work."""

    code = "agent.failed"
    default_do = "See the failed step with `interlock run show ID`, then `interlock run resume ID` or start again."


class RateLimitError(AgentFailed):
    """The provider refuses more requests for now."""

    code = "agent.rate_limit"
    may_have_cost = False
    retryable = True
    default_do = "Wait and try again, or ask the provider for a higher limit."


class AuthenticationError(AgentFailed):
    """The provider does not accept the key, or there is none."""

    code = "agent.authentication"
    may_have_cost = False
    exit_code = 4
    default_do = "Set a valid key, for example OPENAI_API_KEY or ANTHROPIC_API_KEY."


class AgentTimeoutError(AgentFailed):
    """The agent, the provider or the task took longer than allowed."""

    code = "agent.timeout"
    retryable = True
    default_do = "Give it a longer timeout, or a smaller task."


class AgentAPIError(AgentFailed):
    """The provider answered with an error of its own."""

    code = "agent.server_error"
    may_have_cost = False
    retryable = True
    default_do = "Try again later; the provider is in trouble."


class ConnectionFailed(AgentAPIError):
    """The provider could not be reached, or the connection broke."""

    code = "agent.connection"
    may_have_cost = True
    default_do = "Check the network and the provider's address with `interlock doctor`."


class InvalidRequest(AgentFailed):
    """The provider does not accept this request; the same request will not do better."""

    code = "agent.invalid_request"
    may_have_cost = False
    default_do = "Check the model's name and the request; see the failed step with `interlock run show ID`."


class QuotaUsedUp(InvalidRequest):
    """The account at the provider has nothing left to spend; waiting does not help."""

    code = "agent.quota"
    default_do = "Add credit or raise the limit of the account at the provider."


class OutputInvalid(AgentFailed):
    """The answer is not of the form that was asked for."""

    code = "agent.output_invalid"
    retryable = True
    default_do = "Try again, or ask for a simpler form."


class OutputTooLarge(OutputInvalid):
    """The answer is larger than is ever read."""

    code = "agent.output_too_large"
    retryable = False
    default_do = "Ask for less at once."


class DecompositionError(AgentFailed):
    """No plan that can be carried out could be made of the task."""

    code = "plan.decomposition"
    default_do = "Say more exactly what is to be done, list the steps yourself, or allow more of them."


class ToolFailed(AgentFailed):
    """A tool could not do what it was asked."""

    code = "tool.error"
    default_do = "See the step's error with `interlock run show ID`."


class StepLost(AgentFailed):
    """A step was cut off in the middle and is not known to be safe to repeat."""

    code = "step.in_doubt"
    default_do = "Look whether it happened, then `interlock run resume ID --repeat STEP` or `--skip STEP`."


class StoreFailed(InterlockError):
    """The journal cannot be trusted, opened or written."""

    code = "store.failed"
    default_do = "Run `interlock doctor`; nothing that was acknowledged is lost."


class StaleFence(StoreFailed):
    """A newer driver has taken this run over; this one must stop."""

    code = "store.fenced"
    default_do = "Nothing to do: the newer driver goes on with the run."


class VaultFailed(InterlockError):
    """The vault cannot be opened, read or written."""

    code = "vault.failed"
    default_do = "See docs/how-to/vault-and-access.md."


class AuditFailed(Refused):
    """The audit log cannot be kept, read or checked; what cannot be recorded is not done."""

    code = "audit.failed"
    default_do = "Run `interlock audit verify`; see docs/how-to/audit.md."


#: Every class by its stable code, so that a recorded error comes back as what it was.
BY_CODE: dict[str, type[InterlockError]] = {}


def _index(cls: type[InterlockError]) -> None:
    BY_CODE[cls.code] = cls
    for below in cls.__subclasses__():
        _index(below)


_index(InterlockError)


#: What a guardrail's refusal is, where it is not just that.
_GUARDRAILS: dict[str, type[InterlockError]] = {
    "guardrail.rate_limit": RateLimited,
    "guardrail.cost_limit": OverBudget,
}


def from_code(code: str, says: str, do: str = "", retry_after: float | None = None) -> InterlockError:
    """Make the error that a recorded code stands for again; an unknown code becomes a plain failure.

    A longer code finds the class of its longest known prefix: `store.full` is a `StoreFailed`.
    """
    cls = BY_CODE.get(code)
    if cls is None:
        room = code.split(".", 1)[0]
        by_room: dict[str, type[InterlockError]] = {
            "usage": UsageError,
            "settings": SettingsError,
            "policy": Refused,
            "guardrail": _GUARDRAILS.get(code, Refused),
            "approval": AwaitingApproval,
            "budget": OverBudget,
            "agent": AgentFailed,
            "plan": AgentFailed,
            "step": StepLost,
            "tool": ToolFailed,
            "store": StoreFailed,
            "access": Refused,
            "vault": VaultFailed,
            "audit": AuditFailed,
        }
        cls = by_room.get(room, InterlockError)
    return cls(says, do, code=code, retry_after=retry_after)
