"""Entries of the audit log: what is told of each fact, as canonical JSON without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import msgspec

from interlock.records.fact import (
    ApprovalUsed,
    CancelAsked,
    Fact,
    Failure,
    GateAnswered,
    Noted,
    PauseAsked,
    QuestionAnswered,
    QuestionAsked,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunRouted,
    RunStarted,
    RunWaiting,
    StepFailed,
    StepFinished,
    StepInherited,
    StepStarted,
)
from interlock.records.money import Usage
from interlock.records.veil import NO_VEIL, Veil
from interlock.stores.projection import Row

#: Longest input and longest result in an entry, in characters.
LONGEST_INPUT = 4_000
LONGEST_RESULT = 2_000
#: A clock that shows more, in seconds, is broken; its times are taken for this one.
_LAST_TIME = 1e12
#: So much more is looked at than is shown: a secret that the cut would leave half of is not recognised.
_SLACK = 2_048

_canonical = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """A JSON value in its one form: sorted keys, no blanks, UTF-8."""
    return _canonical.encode(value)


@dataclass(slots=True)
class EntryMaker:
    """Words the entries; implements `stores.audit_chain.Auditor`.

    Args:
        veil: Takes secrets out of every text.
        include_context: Whether tasks, arguments and what people were shown are in the entries.
        include_results: Whether results are in the entries, bounded; without, only their digests are.
        price_version: Which prices costs were worked out with.
    """

    veil: Veil = NO_VEIL
    include_context: bool = True
    include_results: bool = True
    price_version: Callable[[], str] = lambda: ""

    def outline(self, fact: Fact, body: str) -> Mapping[str, Any]:
        """See `Auditor.outline`."""
        told = _TOLD.get(type(fact), _anything)(self, fact)
        told["kind"] = fact.kind
        told["fact_sha256"] = sha256(body.encode()).hexdigest()
        return told

    def entry(self, outline: Mapping[str, Any], row: Row, *, n: int, prev: str, seq: int, at: float) -> bytes:
        """See `Auditor.entry`."""
        who = {"agent": outline.get("agent") or row.agent or row.platform, **outline.get("who", {})}
        if row.user is not None:
            who["user"] = row.user
        entry = {**outline, "n": n, "prev": prev, "run": row.run_id, "seq": seq, "at": in_micros(at), "who": who}
        entry.pop("agent", None)
        if row.tenant is not None:
            entry["tenant"] = row.tenant
        raw = _canonical.encode(entry)
        if self.veil.holds(raw.decode()):  # a name, for example that of a user, happens to be someone's secret
            hidden = self.veil.known({key: value for key, value in entry.items() if key not in _OURS})
            raw = _canonical.encode({**hidden, **{key: entry[key] for key in _OURS}})
        return raw

    # What may be a secret, or is too long.

    def given(self, value: Any) -> dict[str, Any]:
        """What went in: a redacted text, or nothing where context is left out."""
        return {"input": self.shown(value, LONGEST_INPUT)} if self.include_context and value is not None else {}

    def came_out(self, value: Any, longest: int = LONGEST_RESULT, *, whole: bool = True) -> dict[str, Any]:
        """What came out: always its digest, and the beginning of it where results are included."""
        if value is None:
            return {}
        told = {"output_sha256": output_digest(value)}
        if whole and self.include_results:
            told["output"] = self.shown(value, longest)
        if isinstance(value, dict) and isinstance(value.get("sandbox"), str):
            told["sandbox"] = value["sandbox"]
        return told

    def says(self, **texts: str) -> dict[str, str]:
        """Sentences, redacted; empty ones are left out."""
        return {name: self.shown(text, LONGEST_RESULT) for name, text in texts.items() if text}

    def shown(self, value: Any, longest: int) -> str:
        """A value as a text of bounded length without secrets; what is not a text is shown as JSON."""
        text = value if isinstance(value, str) else _canonical.encode(value).decode()
        if len(text) > longest + _SLACK:  # the end of what is looked at may be half of a secret
            seen: str = self.veil.credentials(text[: longest + _SLACK])
            return f"{seen[: min(longest, max(0, len(seen) - _SLACK))]}…"
        if isinstance(value, str):
            text = self.veil.credentials(text)
        elif isinstance(value, dict | list | tuple):
            text = _canonical.encode(self.veil.credentials(value)).decode()
        return text if len(text) <= longest else f"{text[:longest]}…"

    def paid(self, usage: Usage, cost_micros: int | None) -> dict[str, Any]:
        """What it cost. A price that is not known is said to be so."""
        if not usage.requests and not cost_micros:
            return {}
        told: dict[str, Any] = {"cost_micros": cost_micros, "price_version": self.price_version()}
        told["tokens"] = {"input": usage.input_tokens, "output": usage.output_tokens, "requests": usage.requests}
        if usage.searches or usage.sessions:  # what a provider did on its side, and bills besides
            told["native"] = {"searches": usage.searches, "sessions": usage.sessions}
        return told

    def failed(self, failure: Failure | None) -> dict[str, Any]:
        """Why it did not work."""
        return {"error": {"code": failure.code, **self.says(says=failure.says)}} if failure is not None else {}


#: What is the log's own, and no text of anybody's.
_OURS = ("n", "prev", "run", "seq", "at", "kind", "fact_sha256")


def output_digest(value: Any) -> str:
    """The SHA-256 of a result: of a text as UTF-8, of anything else as canonical JSON."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _canonical.encode(value)
    return sha256(raw).hexdigest()


def in_micros(at: float) -> int:
    """When a fact was written, as its entry says it: whole microseconds, within what a clock can show."""
    return round(min(max(at, -_LAST_TIME), _LAST_TIME) * 1e6)


def _micros(seconds: float | None) -> int | None:
    """A time as whole microseconds; one that no clock can show is none."""
    return round(seconds * 1e6) if seconds is not None and abs(seconds) <= _LAST_TIME else None


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


# --- What is told of each kind of fact ------------------------------------------------------------------------


def _admitted(maker: EntryMaker, fact: RunAdmitted) -> dict[str, Any]:
    asked = {name: fact.task[name] for name in ("description", "context") if fact.task.get(name)}
    task = {"task": fact.task_id, "task_sha256": fact.digest, "parent": fact.parent}
    return _filled(action="task", outcome="admitted", **task) | maker.given(asked or None)


def _routed(_: EntryMaker, fact: RunRouted) -> dict[str, Any]:
    return {"action": "route", "outcome": "routed", "agent": fact.platform}


def _gated(maker: EntryMaker, fact: GateAnswered) -> dict[str, Any]:
    verdict: dict[str, Any] = {"effect": fact.effect}
    for name in ("rule", "place", "approver", "parts"):
        if value := getattr(fact, name):
            verdict[name] = value
    if fact.reason:
        verdict |= maker.says(reason=fact.reason)
    told = {"action": f"{fact.act} {fact.name}", "outcome": fact.effect, "verdict": verdict}
    if fact.path:
        told["step"] = fact.path
    if fact.act in ("tool", "command"):
        told["who"] = {"tool": fact.name}
    return told if fact.tried is None else told | maker.given(fact.tried)


def _begun(_: EntryMaker, fact: RunStarted) -> dict[str, Any]:
    return {"action": "drive", "outcome": "started", "driver": fact.driver}


def _intent(maker: EntryMaker, fact: StepStarted) -> dict[str, Any]:
    action = f"{fact.what} {fact.name}"
    told = {"action": action, "outcome": "started", "step": fact.path, "attempt": fact.attempt}
    if fact.what == "tool":
        told["who"] = {"tool": fact.name}
    return told if fact.input is None else told | maker.given(fact.input)


def _outcome(maker: EntryMaker, fact: StepFinished) -> dict[str, Any]:
    told = {"action": "step", "outcome": "done", "step": fact.path, "attempt": fact.attempt}
    if fact.usage.requests or fact.cost_micros:
        told |= maker.paid(fact.usage, fact.cost_micros)
    # What a model said is in the journal; what it led to is told by the steps that follow.
    return told | maker.came_out(fact.output, whole=not fact.usage.requests)


def _failure(maker: EntryMaker, fact: StepFailed) -> dict[str, Any]:
    outcome = "failed" if fact.again_at is None else "failed, tried again"
    told = {"action": "step", "outcome": outcome, "step": fact.path, "attempt": fact.attempt}
    return told | maker.paid(fact.usage, fact.cost_micros) | maker.failed(fact.failure)


def _inherited(maker: EntryMaker, fact: StepInherited) -> dict[str, Any]:
    outcome = "inherited" if fact.failure is None else "inherited failure"
    told = {"action": f"{fact.what} {fact.name}", "outcome": outcome, "step": fact.path, "parent": fact.parent}
    # What came out stands in the parent's own entry; its digest says that it is the same.
    return told | maker.came_out(fact.output, whole=False) | maker.failed(fact.failure)


def _asked(maker: EntryMaker, fact: QuestionAsked) -> dict[str, Any]:
    expires = _micros(fact.expires_at)
    approval = _filled(id=fact.question_id, sha256=fact.digest, approver=fact.approver, expires_at=expires)
    approval |= {"quorum": fact.quorum, **maker.says(says=fact.says)}
    told = _filled(action=f"ask {fact.about}", outcome="asked", step=fact.path, approval=approval)
    return told | maker.given(fact.asks or None)


def _answered(maker: EntryMaker, fact: QuestionAnswered) -> dict[str, Any]:
    approval = _filled(id=fact.question_id, by=fact.by, sha256=fact.digest, scope=fact.scope)
    approval |= maker.says(reason=fact.reason)
    told = {"action": "answer", "outcome": fact.answer, "approval": approval, "who": {"person": fact.by}}
    return told | maker.given(fact.edited)


def _used(_: EntryMaker, fact: ApprovalUsed) -> dict[str, Any]:
    told = {"action": "approval", "outcome": "used", "step": fact.path, "attempt": fact.attempt}
    return told | {"approval": {"id": fact.question_id}}


def _waits(maker: EntryMaker, fact: RunWaiting) -> dict[str, Any]:
    return _filled(action="wait", outcome=fact.reason, until=_micros(fact.until), ref=fact.ref) | maker.says(
        reason=fact.says
    )


def _wanted(maker: EntryMaker, fact: CancelAsked | PauseAsked | ResumeAsked) -> dict[str, Any]:
    told = {"action": fact.kind.partition(".")[0], "outcome": "asked", "who": {"person": fact.by}}
    return told | maker.says(reason=getattr(fact, "reason", ""))


def _noted(maker: EntryMaker, fact: Noted) -> dict[str, Any]:
    return _filled(action="note", outcome=fact.level, code=fact.code, step=fact.path) | maker.says(reason=fact.says)


def _finished(maker: EntryMaker, fact: RunFinished) -> dict[str, Any]:
    told = _filled(action="run", outcome=fact.status, guardrail=fact.guardrail, agent=fact.agent)
    told |= maker.paid(fact.usage, fact.cost_micros) | maker.failed(fact.failure)
    return told | maker.came_out(fact.output)


def _anything(maker: EntryMaker, fact: Any) -> dict[str, Any]:
    """A kind of fact that has no words of its own yet: all of it, redacted."""
    return {"action": fact.kind, "outcome": "recorded"} | maker.given(asdict(fact))


_TOLD: dict[type[Fact], Callable[[EntryMaker, Any], dict[str, Any]]] = {
    RunAdmitted: _admitted,
    RunRouted: _routed,
    GateAnswered: _gated,
    RunStarted: _begun,
    StepStarted: _intent,
    StepFinished: _outcome,
    StepFailed: _failure,
    StepInherited: _inherited,
    QuestionAsked: _asked,
    QuestionAnswered: _answered,
    ApprovalUsed: _used,
    RunWaiting: _waits,
    CancelAsked: _wanted,
    PauseAsked: _wanted,
    ResumeAsked: _wanted,
    Noted: _noted,
    RunFinished: _finished,
}
