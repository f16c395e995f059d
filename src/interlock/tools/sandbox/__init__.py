"""The walls around commands: what the kernel keeps a program from, whatever the policy overlooked."""

from interlock.tools.sandbox.launch import Level
from interlock.tools.sandbox.sandbox import Sandbox, Wanted, strength, unavailable

__all__ = ["Level", "Sandbox", "Wanted", "strength", "unavailable"]
