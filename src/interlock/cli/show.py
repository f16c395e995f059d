"""One run on one page: for people, for pipes, and as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

from interlock.cli.door import Door
from interlock.cli.wording import Cell, Ink, ago, finite, iso, marked, money, state, took, usd
from interlock.records.question import Question, is_late
from interlock.records.run import Run, StepRun
from interlock.stores.journal import RunRow

#: Characters of one step's content that are shown to people; JSON has all of it.
SHOWN = 2_000


async def show_run(door: Door, given: str, *, content: bool, steps: bool = False) -> None:
    """Print a run; of a plan's run its steps as the plan has them.

    Args:
        door: Where it is asked for.
        given: Its id, or the beginning of it.
        content: Whether what went into its steps and came out is asked for.
        steps: Whether all that was done for the steps of a plan is asked for too.

    Raises:
        NotFound: there is no such run.
    """
    from interlock.cli.doubts import doubt_card, doubts_in
    from interlock.cli.plan_page import show_steps, tell_answer
    from interlock.flows.doubts import options_for, tools_of
    from interlock.platform.lookup import find_run, load_run, row_of

    async with door.stored() as journal:
        run_id = await find_run(journal, given)
        assert journal is not None
        door.run = run_id
        run, row = await load_run(journal, run_id), await row_of(journal, run_id)
    if door.out.json:
        door.out.record(as_json(door, run, row, content=content))
        return
    door.options = tuple(options_for(tools_of(run)))
    door.out.pairs(_head(door, run, row, time.time()))
    is_plan = show_steps(door, run, whole=steps, interrupted=state(row) == "interrupted")
    if run.steps and (steps or content or not is_plan):
        door.out.answer("")
        names = step_names(run)
        headers = ("step", "state", "tries", "took", "cost", "what")
        door.out.table(headers, [_step(step, names[path]) for path, step in run.steps.items()])
    for step in run.steps.values() if content else ():
        _tell_content(door, step)
    for one in (doubts := doubts_in(run)):
        door.out.answer("")
        door.out.pairs(doubt_card(door, one, run))
    if run.finished is not None and run.finished.output is not None:
        door.out.answer("")
        if is_plan:
            tell_answer(door, run_id, run.finished.output)
        else:
            door.out.answer(run.finished.output)
    elif waiting := [one for one in run.open_questions() if one.about == "approval" and not _is_late(one)]:
        door.out.say(Ink(f"Look at what is asked: {door.command('approval show', waiting[0].question_id)}", "dim"))
    elif not doubts and not run.status.is_final and not row.driven:
        go_on = door.command("run resume", run_id, *door.options)
        door.out.say(Ink(f"Nobody drives it. Go on: {go_on}", "dim"))


def _head(door: Door, run: Run, row: RunRow, now: float) -> list[tuple[str, Cell | str]]:
    mark = marked(state(row))
    failure = run.finished.failure if run.finished else None
    do = door.typed(failure.do, run.run_id) if failure else ""
    return [
        ("run", run.run_id),
        ("state", Cell(mark.text, state(row), mark.style)),
        ("task", str(_task(run).get("description", ""))[:SHOWN]),
        ("task id", row.task_id),
        ("forked from", row.parent or ""),
        ("route", row.platform),
        ("reasons", " ".join(run.routed.reasons) if run.routed else ""),
        ("agent", row.agent),
        ("user", row.user or ""),
        ("labels", " ".join(f"{key}={value}" for key, value in (_task(run).get("labels") or {}).items())),
        ("accepted", Cell(f"{ago(now - row.created_at)} ({iso(row.created_at)})", iso(row.created_at) or "")),
        ("ended", Cell(f"{ago(now - row.finished_at)}", iso(row.finished_at) or "") if row.finished_at else ""),
        ("took", Cell(took(_seconds(run)), f"{_seconds(run):.3f}")),
        ("cost", Cell(usd(run.cost_micros), money(run.cost_micros) or "unknown")),
        ("tokens", f"{run.usage.total_tokens}"),
        ("taken up", f"{run.starts} times" if run.starts > 1 else ""),
        ("waits for", run.waiting.says or run.waiting.reason if run.waiting else ""),
        ("questions", "\n".join(asked(run))),
        ("refused", "\n".join(refusals(run))),
        ("notes", "\n".join(note.says for note in run.notes)),
        ("error", Cell(f"{failure.says}\n{do}".strip(), failure.says, "bad") if failure else ""),
        ("error code", failure.code if failure else ""),
    ]


def refusals(run: Run) -> list[str]:
    """What the gate did not allow, with the rule that said so."""
    told = (f"{gate.name}: {gate.reason} ({gate.rule})" for gate in run.gates if gate.effect == "block")
    return list(dict.fromkeys(told))


def asked(run: Run) -> list[str]:
    """What people were asked, and what came of it."""
    return [
        f"{one.question_id}  {_came_to(one)}{f' by {one.by}' if one.by else ''}  {one.says}"
        + (f" ({one.reason})" if one.reason else "")
        for one in run.questions.values()
    ]


def _came_to(question: Question) -> str:
    """What the answers to a question came to so far; of a step in doubt, what a person said."""
    if question.about == "in_doubt" and question.state in ("allowed", "denied"):
        return question.answer or question.state
    return "expired" if _is_late(question) else question.state


def _is_late(question: Question) -> bool:
    """Whether nobody answered in time, and nobody has driven the run since to write that down."""
    return question.state == "pending" and is_late(question.expires_at, time.time())


def was_refused(code: str) -> bool:
    """Whether an error is a rule's or a person's no."""
    return code.startswith("policy.") or code == "approval.denied"


def describe(what: str, name: str, given: Any) -> str:
    """A step in a few words: the command, the tool with its arguments, the model."""
    if what != "tool" or not isinstance(given, dict):
        return name
    arguments = given.get("arguments")
    told = called(str(given.get("name", name)), arguments if isinstance(arguments, dict) else {})
    return f"{told} native at {given.get('provider')}" if given.get("native") is True else told


def called(name: str, arguments: dict[str, Any]) -> str:
    """A tool call in a few words; a command as one would type it."""
    import shlex

    argv = arguments.get("argv")
    if name == "shell" and isinstance(argv, list):
        return shlex.join(str(word) for word in argv)[:200]
    if name == "shell" and isinstance(arguments.get("command"), str):
        return str(arguments["command"])[:200]
    told = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)[:60]}" for key, value in arguments.items())
    return f"{name}({told})"[:200]


def calls_of(output: Any) -> list[str]:
    """The tool calls that a model step's output asks for, in a few words each."""
    given = output.get("tool_calls") if isinstance(output, dict) else None
    return [_call(one) for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _call(given: dict[str, Any]) -> str:
    try:
        arguments = json.loads(given.get("arguments") or "{}")
    except ValueError:
        arguments = {}
    return called(str(given.get("name", "")), arguments if isinstance(arguments, dict) else {})


class Calls:
    """Names tool steps after what the model asked for: one that was refused was never begun, and has no other name."""

    def __init__(self) -> None:
        self._calls: dict[str, list[str]] = {}

    def note(self, path: str, output: Any) -> None:
        """Take note of what a model step brought."""
        self._calls.setdefault(path.rpartition("model/")[0], []).extend(calls_of(output))

    def name(self, path: str) -> str:
        """What the tool step at this path was to be, or nothing where that is not known."""
        scope, _, number = path.rpartition("tool/")
        calls = self._calls.get(scope, [])
        return calls[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(calls) else ""


def step_names(run: Run) -> dict[str, str]:
    """What each step does, in a few words."""
    calls, names = Calls(), {}
    for path, step in run.steps.items():
        if step.what == "model":
            calls.note(path, step.output)
        names[path] = describe(step.what, step.name, step.input) or calls.name(path) or step.what
    return names


def _task(run: Run) -> dict[str, Any]:
    return run.admitted.task if run.admitted else {}


def _seconds(run: Run) -> float:
    return run.finished.seconds if run.finished else run.active_seconds


def _step(step: StepRun, name: str) -> list[Cell | str]:
    refused = step.failure is not None and was_refused(step.failure.code)
    status = "kept" if step.inherited else "refused" if refused else step.status
    mark = marked(status)
    return [
        step.path,
        Cell(mark.text, status, mark.style),
        str(step.attempts),
        Cell(took(step.seconds), f"{step.seconds:.3f}"),
        Cell(usd(step.cost_micros), money(step.cost_micros) or "unknown"),
        name,
    ]


def _tell_content(door: Door, step: StepRun) -> None:
    outcome = step.failure.says if step.failure else _spoken(step.output)
    for word, text in (("in", _spoken(step.input)), ("out", outcome)):
        if text:
            cut = (
                text
                if len(text) <= SHOWN or not door.out.for_people
                else f"{text[:SHOWN]} … ({len(text):,} characters)"
            )
            door.out.answer(f"\n{step.path} {word}:\n{cut}")


def _spoken(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and isinstance(value.get("text"), str) and "tool_calls" in value:
        calls = [f"→ {call.get('name')}({call.get('arguments')})" for call in value["tool_calls"]]
        return "\n".join(filter(None, [value["text"], *calls]))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


def as_json(door: Door, run: Run, row: RunRow, *, content: bool) -> dict[str, Any]:
    """A run as one JSON object; inputs and outputs of steps only when asked for."""
    from interlock.cli.doubts import as_json as doubt_as_json
    from interlock.cli.plan_page import steps_as_json
    from interlock.cli.runs import row_as_json
    from interlock.platform.approval import approval_in

    finished, names = run.finished, step_names(run)
    return {
        **row_as_json(row),
        "as_of": iso(time.time()),
        "description": _task(run).get("description"),
        "context": _task(run).get("context"),
        "labels": _task(run).get("labels"),
        "reasons": run.routed.reasons if run.routed else [],
        "parent": row.parent,
        "plan": steps_as_json(run, content=content),
        "candidates": run.routed.candidates if run.routed else [],
        "seq": run.seq,
        "starts": run.starts,
        "paused": run.paused,
        "seconds": finite(_seconds(run)),
        "tokens": run.usage.total_tokens,
        "cost_usd": money(run.cost_micros),
        "output": finished.output if finished else None,
        "error": _failure(finished.failure) if finished and finished.failure else None,
        "waiting": {
            "reason": run.waiting.reason,
            "until": iso(run.waiting.until),
            "ref": run.waiting.ref,
            "says": run.waiting.says,
        }
        if run.waiting
        else None,
        "questions": [
            {
                "question_id": one.question_id,
                "path": one.path,
                "about": one.about,
                "says": one.says,
                "state": _came_to(one),
                "by": one.by or None,
                "reason": one.reason or None,
                **doubt_as_json(door, approval_in(run, one, time.time())),
            }
            for one in run.questions.values()
        ],
        "gates": [
            {
                "path": gate.path,
                "act": gate.act,
                "name": gate.name,
                "effect": gate.effect,
                "rule": gate.rule,
                "reason": gate.reason,
            }
            for gate in run.gates
        ],
        "notes": [{"level": note.level, "code": note.code, "says": note.says} for note in run.notes],
        "steps": [_step_as_json(step, names[path], content=content) for path, step in run.steps.items()],
    }


def _failure(failure: Any) -> dict[str, Any]:
    return {"code": failure.code, "says": failure.says, "do": failure.do, "retryable": failure.retryable}


def _step_as_json(step: StepRun, name: str, *, content: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": step.path,
        "kind": step.what,
        "name": step.name,
        "does": name,
        "status": step.status,
        "inherited": step.inherited or None,
        "attempts": step.attempts,
        "seconds": finite(step.seconds),
        "started_at": iso(step.started_at),
        "cost_usd": money(step.cost_micros),
        "tokens": step.usage.total_tokens,
        "error": _failure(step.failure) if step.failure else None,
    }
    return {**told, "input": step.input, "output": step.output} if content else told
