"""Messages as a provider may see them: without the secrets that are registered here."""

from __future__ import annotations

from dataclasses import replace

from interlock.agents.provider import Message
from interlock.records.veil import Veil


def hidden(message: Message, veil: Veil) -> Message:
    """The message without registered secrets; the same one where it holds none.

    Args:
        message: What would be sent.
        veil: Knows the secrets.
    """
    text, native = veil.known(message.text), veil.known(message.native)
    calls = tuple(
        replace(call, arguments=arguments) if (arguments := veil.known(call.arguments)) is not call.arguments else call
        for call in message.tool_calls
    )
    if text is message.text and native is message.native and all(map(_same, calls, message.tool_calls)):
        return message
    return replace(message, text=text, native=native, tool_calls=calls)


def _same(one: object, other: object) -> bool:
    return one is other
