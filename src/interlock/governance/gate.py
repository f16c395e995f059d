"""The gate: one answer to every act, the strictest of guardrails, policies, and lists of what may be called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

from interlock.governance.commands import CommandPolicy
from interlock.governance.evidence import digest_of, gather
from interlock.governance.guardrails import POINT_OF, Guardrail, judge_at
from interlock.governance.policy_rules import NO_POLICY, Database, Policy, judge_sql_act
from interlock.governance.redaction.logs import RedactedLog
from interlock.governance.validation import MAX_PROMPT_LENGTH, judge_input
from interlock.records.task import from_json
from interlock.records.verdict import ALLOWED, Act, ActKind, Effect, Verdict, strictest

#: One voice at the gate: a verdict, or None when it has nothing to say. Pure, quick and synchronous.
Judge = Callable[[Act], Verdict | None]

#: Acts that may happen when nobody has anything to say about them. All others are blocked by silence.
_OPEN: frozenset[ActKind] = frozenset({"task", "model", "agent", "tool_result", "output"})

_log = logging.getLogger(__name__)
_log.addFilter(RedactedLog())


class PolicyGate:
    """Answers for every act: the strictest of what its judges say. Implements `records.verdict.Gate`.

    Args:
        commands: What commands may run; without a policy none may. May be exchanged at any time.
        guardrails: The guardrails, or a function that gives them; those of the policy file come before them.
        tools: The names of the tools that may be called. It is looked at for every call, so it may grow.
        judges: Further voices by kind of act, asked after the built-in ones.
        policy: What the policy file says about SQL, tools and with guardrails; its commands belong into `commands`.
            May be exchanged at any time.
        databases: The tools that run SQL, by name: every statement of theirs is judged. It may grow.
        max_prompt: Most characters of a task's text.
    """

    def __init__(
        self,
        *,
        commands: CommandPolicy | None = None,
        guardrails: Sequence[Guardrail] | Callable[[], Sequence[Guardrail]] = (),
        tools: Container[str] = frozenset(),
        judges: Mapping[ActKind, Sequence[Judge]] | None = None,
        policy: Policy = NO_POLICY,
        databases: Mapping[str, Database] | None = None,
        max_prompt: int = MAX_PROMPT_LENGTH,
    ) -> None:
        self.commands = commands
        self.policy = policy
        self._databases: Mapping[str, Database] = {} if databases is None else databases
        self._max_prompt = max_prompt
        self._guardrails = guardrails
        self._tools = tools
        self._judges: dict[ActKind, list[Judge]] = {
            "task": [self._judge_input, self._judge_guardrails],
            "command": [self._judge_command, self._judge_guardrails],
            "tool": [self._judge_tool, self._judge_sql, self._judge_rules, self._judge_guardrails],
            "tool_result": [self._judge_guardrails],
            "output": [self._judge_guardrails],
        }
        for kind, more in (judges or {}).items():
            self._judges.setdefault(kind, []).extend(more)

    async def admit(self, act: Act) -> Verdict:
        """May this happen? Never raises: an error inside is a block with the rule `gate.error`."""
        try:
            verdict = self._admit(act)
            if verdict.effect is not Effect.APPROVAL:
                return verdict
            found = await gather(act, self.commands, self.guardrails)
            if self.policy.digest:
                found["policy_file"] = self.policy.digest
            return replace(verdict, evidence={**verdict.evidence, **found})
        except Exception:  # noqa: BLE001 - fail closed: whatever goes wrong is a block
            _log.exception("the gate could not judge the %s %r at %s", act.kind, act.name, act.path)
            return Verdict(
                effect=Effect.BLOCK,
                rule="gate.error",
                reason="The rules could not be evaluated, so nothing is allowed.",
            )

    def _admit(self, act: Act) -> Verdict:
        answers = [answer for judge in self._judges.get(act.kind, ()) if (answer := judge(act)) is not None]
        if not answers and act.kind in _OPEN:
            return ALLOWED
        for answer in answers:
            if not isinstance(answer, Verdict):
                raise TypeError(f"a judge answered {answer!r}")
        return strictest(answers)

    @property
    def guardrails(self) -> tuple[Guardrail, ...]:
        """All guardrails there are: the policy file's, then the program's."""
        own = self._guardrails() if callable(self._guardrails) else self._guardrails
        return (*self.policy.guardrails, *own)

    @property
    def digest(self) -> str:
        """SHA-256 of all rules, alike in every process with the same ones; a condition in code counts by name."""
        commands = self.commands
        lists = commands and [commands.allowed, commands.forbidden, commands.require_approval, commands.on_unknown]
        said = [[one.name, one.type, one.message, one.approver, one.on] for one in self.guardrails]
        about = {name: [one.dialect, one.max_rows] for name, one in self._databases.items()}
        return digest_of([self.policy.digest, lists, said, about, self._max_prompt])

    def _judge_input(self, act: Act) -> Verdict | None:
        return judge_input(act, self._max_prompt)

    def _judge_guardrails(self, act: Act) -> Verdict | None:
        guardrails = self.guardrails
        if not guardrails:
            return None
        return judge_at(POINT_OF[act.kind], guardrails, from_json(act.arguments) if act.kind == "task" else act)

    def _judge_sql(self, act: Act) -> Verdict | None:
        return judge_sql_act(act, self.policy.sql, self._databases)

    def _judge_rules(self, act: Act) -> Verdict | None:
        return self.policy.judge_tool(act)

    def _judge_command(self, act: Act) -> Verdict:
        if self.commands is None:
            return Verdict(
                effect=Effect.BLOCK, rule="default", reason="No command policy is set, so no command may run."
            )
        argv = list(act.arguments["argv"])
        program = act.arguments.get("program", argv[0])
        if argv[0] not in (program, program.rpartition("/")[2]):
            return Verdict(
                effect=Effect.BLOCK, rule="gate.program", reason=f"`{argv[0]}` is not the program that would run."
            )
        return self.commands.judge(argv, act.cwd)

    def _judge_tool(self, act: Act) -> Verdict:
        if act.name in self._tools:
            return Verdict(effect=Effect.ALLOW, rule="tool.registered")
        return Verdict(effect=Effect.BLOCK, rule="default", reason=f"There is no tool `{act.name}` that may be called.")
