"""The gate: guardrails for tasks, a command policy for commands, a list of names for tools."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence

from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import Guardrail, judge_task
from interlock.records.task import from_json
from interlock.records.verdict import ALLOWED, Act, ActKind, Effect, Verdict, strictest

#: One voice at the gate: a verdict, or None when it has nothing to say. Pure, quick and synchronous.
Judge = Callable[[Act], Verdict | None]

#: Acts that may happen when nobody has anything to say about them. All others are blocked by silence.
_OPEN: frozenset[ActKind] = frozenset({"task", "model", "tool_result", "output"})

_log = logging.getLogger(__name__)


class PolicyGate:
    """Answers for every act: the strictest of what its judges say. Implements `records.verdict.Gate`.

    Args:
        commands: What commands may run; without a policy none may. May be exchanged at any time.
        guardrails: The guardrails for tasks, or a function that gives them.
        tools: The names of the tools that may be called. It is looked at for every call, so it may grow.
        judges: Further voices by kind of act, asked after the built-in ones.
    """

    def __init__(
        self,
        *,
        commands: CommandPolicy | None = None,
        guardrails: Sequence[Guardrail] | Callable[[], Sequence[Guardrail]] = (),
        tools: Container[str] = frozenset(),
        judges: Mapping[ActKind, Sequence[Judge]] | None = None,
    ) -> None:
        self.commands = commands
        self._guardrails = guardrails
        self._tools = tools
        self._judges: dict[ActKind, list[Judge]] = {
            "task": [self._judge_task],
            "command": [self._judge_command],
            "tool": [self._judge_tool],
        }
        for kind, more in (judges or {}).items():
            self._judges.setdefault(kind, []).extend(more)

    async def admit(self, act: Act) -> Verdict:
        """May this happen? Never raises: an error inside is a block with the rule `gate.error`."""
        try:
            return self._admit(act)
        except Exception:  # noqa: BLE001 - fail closed: whatever goes wrong is a block
            _log.exception("the gate could not judge the %s %r at %s", act.kind, act.name, act.path)
            return Verdict(
                effect=Effect.BLOCK,
                rule="gate.error",
                reason="The rules could not be evaluated, so nothing is allowed.",
            )

    async def settle(self, act: Act, *, cost_micros: int | None, tokens: int, failed: bool) -> None:
        """What it came to. Nothing keeps account yet."""

    def _admit(self, act: Act) -> Verdict:
        answers = [answer for judge in self._judges.get(act.kind, ()) if (answer := judge(act)) is not None]
        if not answers and act.kind in _OPEN:
            return ALLOWED
        for answer in answers:
            if not isinstance(answer, Verdict):
                raise TypeError(f"a judge answered {answer!r}")
        return strictest(answers)

    def _judge_task(self, act: Act) -> Verdict:
        guardrails = self._guardrails() if callable(self._guardrails) else self._guardrails
        return judge_task(guardrails, from_json(act.arguments)) if guardrails else ALLOWED

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
        return self.commands.judge(argv)

    def _judge_tool(self, act: Act) -> Verdict:
        if act.name in self._tools:
            return Verdict(effect=Effect.ALLOW, rule="tool.registered")
        return Verdict(effect=Effect.BLOCK, rule="default", reason=f"There is no tool `{act.name}` that may be called.")
