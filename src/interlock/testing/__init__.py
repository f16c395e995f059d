"""What tests of products and plugins may rely on: a simulated provider, a scripted agent, a clock, fixtures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.agents.scripted import ScriptedAgent as ScriptedAgent
    from interlock.testing.clock import FakeClock as FakeClock
    from interlock.testing.desk import RecordedRequest as RecordedRequest
    from interlock.testing.script import Calls as Calls
    from interlock.testing.script import Fault as Fault
    from interlock.testing.script import Reply as Reply
    from interlock.testing.script import RequestView as RequestView
    from interlock.testing.script import Structured as Structured
    from interlock.testing.script import Text as Text
    from interlock.testing.script import call as call
    from interlock.testing.simulated import SimulatedProvider as SimulatedProvider

#: Where each public name lives; imported when it is first used, so that this package costs nothing.
_LAZY = {
    "Calls": "interlock.testing.script",
    "FakeClock": "interlock.testing.clock",
    "Fault": "interlock.testing.script",
    "RecordedRequest": "interlock.testing.desk",
    "Reply": "interlock.testing.script",
    "RequestView": "interlock.testing.script",
    "ScriptedAgent": "interlock.agents.scripted",
    "SimulatedProvider": "interlock.testing.simulated",
    "Structured": "interlock.testing.script",
    "Text": "interlock.testing.script",
    "call": "interlock.testing.script",
}


__all__ = [
    "Calls",
    "FakeClock",
    "Fault",
    "RecordedRequest",
    "Reply",
    "RequestView",
    "ScriptedAgent",
    "SimulatedProvider",
    "Structured",
    "Text",
    "call",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(_LAZY)
