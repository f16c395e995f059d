"""An agent made of a model and tools: our own loop, in which every request and every tool call is a step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from interlock.agents.agent import Answer, Attempt, Bench, Brief, Done
from interlock.agents.calling import arguments_of, run_tool
from interlock.agents.context import MAX_RESULT, Conversation, opening, shown
from interlock.agents.form import Reading, read
from interlock.agents.hidden import hidden
from interlock.agents.injection import marked
from interlock.agents.kept import read_back, written
from interlock.agents.native import USES, OwnTools, allowed, checked
from interlock.agents.provider import Message, ModelRequest, ModelResponse, OnText, Provider, ToolCall
from interlock.errors import AgentFailed, OutputInvalid, Refused, StepLost, ToolFailed, UsageError
from interlock.records.money import NOTHING_USED, Usage, add_micros, sound
from interlock.records.veil import NO_VEIL, Veil
from interlock.records.verdict import Act, ActKind
from interlock.tools.tool import TOOL_ACTS, Caller, Tool, repeatable_for

#: Characters of a call that could not be understood, as it is kept.
MAX_ASKED = 2_000
#: Tool calls of one answer that are carried out; the rest is refused, so that no answer makes work without end.
MAX_CALLS = 64
#: Calls after which everybody else gets a turn.
_CALLS_A_TURN = 8
#: Says what a request cost, in micro-dollars, by provider, model and usage; None where the price is unknown.
Price = Callable[[str, str, Usage], int | None]


def price_unknown(provider: str, model: str, usage: Usage) -> int | None:
    """The price list of someone who has none: every price is unknown, which is not the same as nothing."""
    return None


class ModelAgent:
    """A model that may call tools until it has an answer.

    What it does is decided by its brief and by what its steps gave back, and by nothing else: run again with the
    same recorded steps it asks for nothing twice and comes to the same answer.

    Args:
        id: Who it is.
        provider: Where the model is.
        model: The model's name there.
        instructions: Standing orders, before those of each brief.
        tools: What it may ask to call; the gate decides about every call.
        max_turns: Requests to the model for one piece of work.
        max_output_tokens: Upper bound on each answer, reasoning included.
        temperature: Sampling temperature, or None for the model's own.
        timeout: Seconds for one request.
        context_tokens: About how much of the conversation the model is shown, in tokens.
        price: Says what a request cost.
        stream: Whether text is passed to those who watch as it arrives; None for when `bench.watched` says that
            someone does.
        tool_timeout: Seconds for one tool call at most; a tool's own limit may be shorter.
        veil: Takes registered secrets out of all that the model is sent: what a tool needs goes to the tool alone.
        native_tools: The provider's own tools it may use, each once the gate has allowed it by name; what the model
            does with one happens at the provider. A tool of the same name in `tools` is not offered then.
        native_uses: How often it may use each of them in one request.

    Raises:
        UsageError: a number is out of range, two tools share a name, or the provider has no such tool of its own.
    """

    def __init__(
        self,
        id: str,
        provider: Provider,
        model: str,
        *,
        instructions: str = "",
        tools: Sequence[Tool] = (),
        max_turns: int = 20,
        max_output_tokens: int = 4096,
        temperature: float | None = None,
        timeout: float = 120.0,
        context_tokens: int = 100_000,
        price: Price = price_unknown,
        stream: bool | None = None,
        tool_timeout: float | None = None,
        veil: Veil = NO_VEIL,
        native_tools: Sequence[str] = (),
        native_uses: Mapping[str, int] | None = None,
    ) -> None:
        _check_positive(
            max_turns=max_turns, max_output_tokens=max_output_tokens, timeout=timeout, context_tokens=context_tokens
        )
        self.id = id
        self.provider = provider
        self.model = model
        self.instructions = instructions
        self.native_tools = checked(native_tools, provider)
        self.native_uses = {name: (native_uses or {}).get(name, USES) for name in self.native_tools}
        tools = [tool for tool in tools if tool.spec.name not in self.native_tools]
        self.specs = tuple(tool.spec for tool in tools)
        self.tools = {spec.name: tool for spec, tool in zip(self.specs, tools, strict=True)}
        if len(self.tools) < len(self.specs):
            raise UsageError(f"Two tools of agent {id!r} have the same name.", "Rename one of them.", code="usage.tool")
        self.max_turns = max_turns
        self.max_output_tokens = max_output_tokens
        self.temperature = temperature
        self.timeout = timeout
        self.context_tokens = context_tokens
        self.price = price
        self.stream = stream
        self.tool_timeout = tool_timeout
        self.veil = veil
        self.request_bytes = len(msgspec.json.encode(self.specs))

    async def work(self, brief: Brief, bench: Bench, own: OwnTools | None = None) -> Answer:
        """Ask the model, do what it asks for where the gate allows it, and go on until it answers.

        Args:
            brief: What is asked.
            bench: Where each request (`model/1`, `model/2` ...) and tool call (`tool/1` ...) is a step.
            own: What the gate has allowed already of the provider's own tools; None for those of the agent, each of
                which it is asked about first.

        Returns:
            The answer: text, or a JSON value that fits the brief's schema.

        Raises:
            AgentFailed: code `agent.declined` or `agent.too_many_turns`, or what the provider failed with.
            OutputInvalid: the answer is empty, cut off (`agent.output_truncated`) or not of the form asked for,
                and was so again after one correction.
            UsageError: code `usage.context_too_large`, when task and instructions are more than may be shown.
        """
        talk = Conversation(opening(brief, self.instructions), self.context_tokens)
        return await _Work(agent=self, brief=brief, bench=bench, talk=talk, own=own).to_the_end()


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise UsageError(f"{name} must be more than 0, not {number}.", code="usage.agent")


@dataclass(slots=True, kw_only=True)
class _Work:
    """One piece of work in progress."""

    agent: ModelAgent
    brief: Brief
    bench: Bench
    talk: Conversation
    turns: int = 0
    calls: int = 0
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0
    corrected: set[str] = field(default_factory=set)
    own: OwnTools | None = None

    async def to_the_end(self) -> Answer:
        uses, provider = self.agent.native_uses, self.agent.provider.name
        own = self.own or OwnTools(uses=await allowed(uses, provider, self.bench, partial(self._act, "tool")))
        while self.turns < self.agent.max_turns:
            self.turns += 1
            reply = await self._ask(own)
            if reply.stop == "refusal":
                raise AgentFailed(
                    f"The model {self.agent.model} declined to do this.",
                    "Put the task in other words, or give it to another model.",
                    code="agent.declined",
                )
            if reply.tool_calls:
                await self._call_all(reply)
            elif reply.stop == "pause":  # the provider wants to be asked to go on with its own tools
                self.talk.add(Message(role="assistant", text=reply.text, native=reply.native))
            elif (reading := await self._read(reply)) is not None:
                return self._answer(reading.value)
        raise self._out_of_turns()

    def _out_of_turns(self) -> AgentFailed:
        return AgentFailed(
            f"The agent {self.agent.id} had no answer after {self.turns} requests to the model.",
            "Give it a smaller task, or more turns.",
            code="agent.too_many_turns",
        )

    def _answer(self, output: Any) -> Answer:
        return Answer(output=output, agent=self.agent.id, usage=self.usage, cost_micros=self.cost_micros)

    async def _ask(self, own: OwnTools) -> ModelResponse:
        agent, bench, schema = self.agent, self.bench, self.brief.schema
        messages = [hidden(message, agent.veil) for message in self.talk.messages()]
        judged = {
            "provider": agent.provider.name,
            "model": agent.model,
            "max_output_tokens": agent.max_output_tokens,
            # No tokenizer makes more tokens of it than it has bytes: what a budget must reserve at most.
            "input_bytes": self.talk.size + agent.request_bytes + (len(msgspec.json.encode(schema)) if schema else 0),
        }
        judged |= {"native": own.uses} if own.uses else {}
        native = (own.names,) if own.uses else ()
        digest = self.talk.digest(agent.model, agent.specs, agent.max_output_tokens, agent.temperature, schema, *native)

        async def act(attempt: Attempt) -> Done:
            request = ModelRequest(
                model=agent.model,
                messages=messages,
                tools=agent.specs,
                native_tools=own.names,
                native_uses=own.uses,
                container=own.container,
                max_output_tokens=agent.max_output_tokens,
                temperature=agent.temperature,
                schema=schema,
                key=attempt.key,
                timeout=attempt.timeout or agent.timeout,
            )
            response = await agent.provider.complete(request, self._on_text(attempt))
            response = own.counted(replace(response, usage=sound(response.usage)))
            cost = agent.price(agent.provider.name, response.model or agent.model, response.usage)
            return Done(output=written(response, cost), usage=response.usage, cost_micros=cost)

        output = await bench.step(
            f"model/{self.turns}",
            act,
            what="model",
            label=f"{agent.provider.name}:{agent.model}",
            input={"model": agent.model, "messages": len(messages), "digest": digest},
            repeatable=True,
            timeout=agent.timeout,
            judge=self._act("model", agent.model, judged),
        )
        response = read_back(output)
        self.usage += response.usage
        self.cost_micros = add_micros(self.cost_micros, output["cost_micros"])
        if unoffered := own.unoffered(response):
            says = f"{agent.provider.name} used tools of its own that nobody has allowed here: {', '.join(unoffered)}."
            await bench.note("warning", "tool.native_unoffered", says)
        if own.take(response):  # vendors report searches, but not what it costs to run code
            says = f"{agent.provider.name} ran code on its side; its cost has a fixed fee for that, not what is billed."
            await bench.note("info", "price.native_tool", says)
        return response

    def _act(self, kind: ActKind, name: str, arguments: Mapping[str, Any]) -> Act:
        bench = self.bench
        return Act(
            kind=kind,
            name=name,
            arguments=arguments,
            run_id=bench.run_id,
            agent=self.agent.id,
            user=bench.user,
            tenant=bench.tenant,
        )

    def _on_text(self, attempt: Attempt) -> OnText | None:
        stream = self.agent.stream
        # Streaming costs a multiple of the CPU of a plain answer: not for nobody.
        if not (getattr(self.bench, "watched", False) if stream is None else stream):
            return None
        # A second attempt says everything again: who watches needs its number to start over.
        return lambda text: self.bench.emit("text", text=text, path=attempt.path, attempt=attempt.number)

    async def _call_all(self, reply: ModelResponse) -> None:
        if reply.stop == "length":  # half of the last call's arguments may be missing
            raise _truncated()
        if self.turns == self.agent.max_turns:  # nobody would read what the tools give back
            raise self._out_of_turns()
        self.talk.add(Message(role="assistant", text=reply.text, tool_calls=reply.tool_calls, native=reply.native))
        # All results of a turn stay or go together, so together they must leave room for the rest.
        limit = min(MAX_RESULT, self.agent.context_tokens // len(reply.tool_calls))
        for number, call in enumerate(reply.tool_calls):
            self.talk.add(await self._call(call, limit) if number < MAX_CALLS else _one_too_many(call))
            # Steps that are played again, and refusals, wait for nothing: others get their turn all the same. Not
            # after each, since what happens in one turn of the loop is one commit.
            if number % _CALLS_A_TURN == _CALLS_A_TURN - 1:
                await asyncio.sleep(0)

    async def _call(self, call: ToolCall, limit: int) -> Message:
        self.calls += 1
        try:
            output, failed = await self._use(call, f"tool/{self.calls}"), False
        except Refused as refused:
            says = refused.says if refused.says.endswith((".", "!", "?", ")")) else f"{refused.says}."
            output, failed = f"Refused: {says} Do not try it again; find another way, or say why not.", True
        except ToolFailed as failure:
            output, failed = failure.says, True
        except StepLost as lost:
            if lost.code != "step.skipped":
                raise
            output, failed = f"{lost.says} Nobody knows whether it happened.", True
        text, signal = marked(shown(output, limit))
        if signal:
            says = f"What {call.name[:64]} brought back reads like instructions to the agent: {signal}."
            await self.bench.note("warning", "tool.injection", says)
        return Message(role="tool", text=text, tool_call_id=call.id, is_error=failed)

    def _prepare(self, call: ToolCall, caller: Caller) -> tuple[Tool, Mapping[str, Any], Act]:
        tool = self.agent.tools.get(call.name)
        if tool is None:
            known = ", ".join(self.agent.tools) or "none"
            raise ToolFailed(f"There is no tool {call.name!r}. The tools are: {known}.", code="tool.unknown")
        arguments = arguments_of(call)
        judged = tool.act(arguments, caller)
        if judged.kind not in TOOL_ACTS:
            raise ToolFailed(f"The tool {call.name!r} asks for what no tool may do.", code="tool.act")
        return tool, arguments, judged

    async def _fail(self, call: ToolCall, name: str, failure: ToolFailed) -> Any:
        """A call that cannot even be judged leaves its trace all the same: what was asked, and why it failed."""

        async def act(attempt: Attempt) -> Any:
            raise failure

        asked = {"name": call.name[:MAX_ASKED], "arguments": call.arguments[:MAX_ASKED]}
        return await self.bench.step(name, act, what="tool", label=call.name[:64], input=asked, attempts=1)

    async def _use(self, call: ToolCall, name: str) -> Any:
        bench = self.bench
        caller = Caller(
            run_id=bench.run_id,
            agent=self.agent.id,
            user=bench.user,
            tenant=bench.tenant,
            timeout=self.agent.tool_timeout,
        )
        try:
            tool, arguments, judged = self._prepare(call, caller)
        except ToolFailed as failure:
            return await self._fail(call, name, failure)

        async def act(attempt: Attempt) -> Any:
            bench.emit("tool", name=call.name, status="started", path=attempt.path)
            status = "failed"
            try:
                output = await run_tool(tool, caller, attempt)
                status = "finished"
            finally:
                bench.emit("tool", name=call.name, status=status, path=attempt.path)
            return output

        return await bench.step(
            name,
            act,
            what="tool",
            label=call.name,
            input={"name": call.name, "arguments": arguments},
            repeatable=repeatable_for(tool, judged),
            judge=judged,
            remake=lambda changed: tool.act(changed, caller),
        )

    async def _read(self, reply: ModelResponse) -> Reading | None:
        """The answer, or None when it went back to the model because it was empty or had the wrong form."""
        if reply.stop == "length":
            await self._accept_cut_off(reply)
        elif not reply.text.strip():
            self._send_back("empty", "Your answer was empty. Give your answer now.", "The answer is empty.")
            return None
        reading = read(reply.text, self.brief.schema)
        if not reading.faults:
            return reading
        self.talk.add(Message(role="assistant", text=reply.text, native=reply.native))
        faults = "\n- ".join(["Your answer does not have the form asked for:", *reading.faults])
        self._send_back(
            "form",
            f"{faults}\nAnswer again, with nothing but JSON that fits the schema.",
            f"The answer does not have the form asked for: {'; '.join(reading.faults[:3])}.",
        )
        return None

    async def _accept_cut_off(self, reply: ModelResponse) -> None:
        if self.brief.schema is not None or not reply.text.strip():
            raise _truncated()
        says = f"The answer of {self.agent.id} was cut off at {self.agent.max_output_tokens:,} tokens."
        await self.bench.note("warning", "agent.output_truncated", says)

    def _send_back(self, fault: str, to_model: str, to_people: str) -> None:
        """Ask the model to correct its answer, once for each kind of fault."""
        if fault in self.corrected or self.turns == self.agent.max_turns:
            raise OutputInvalid(to_people)
        self.corrected.add(fault)
        self.talk.add(Message(role="user", text=to_model))


def _truncated() -> OutputInvalid:
    do = "Allow the agent more output tokens, or ask for less."
    return OutputInvalid("The answer was cut off in the middle.", do, code="agent.output_truncated")


def _one_too_many(call: ToolCall) -> Message:
    return Message(role="tool", text="Too many calls at once; ask again.", tool_call_id=call.id, is_error=True)
