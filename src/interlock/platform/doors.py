"""The synchronous doors to one default platform: `configure`, `run`, `decompose` and `execute`."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from typing import Any

from interlock.platform.parts import InDoubt
from interlock.platform.platform import Platform
from interlock.platform.result import TaskResult
from interlock.records.plan import Plan, StepResult
from interlock.records.task import Task


class _Default:
    """Holds what `configure` said and the platform made from it; the only such holder there is."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._given: dict[str, Any] = {}
        self._platform: Platform | None = None

    def configure(self, **given: Any) -> None:
        """Make the platform anew on its next use, with these settings added to those said before."""
        with self._lock:
            wanted = {**self._given, **given}
            Platform(**wanted)  # says what is wrong now, not on first use; opens nothing
            self._given = wanted
            self.close()

    def platform(self) -> Platform:
        """The default platform, made on first use."""
        with self._lock:
            if self._platform is None:
                self._platform = Platform(**self._given)
                atexit.register(self.close)
            return self._platform

    def close(self) -> None:
        """Close the default platform, if there is one."""
        with self._lock:
            platform, self._platform = self._platform, None
        if platform is not None:
            atexit.unregister(self.close)
            platform.close_sync()


_default = _Default()


def configure(**settings: Any) -> None:
    """Set up the default platform that `run` and its siblings use.

    Args:
        settings: `home` (or `storage_path`), `profile`, `log_level`, `openai_api_key`, `anthropic_api_key`, and any
            setting (`limits={"max_runs": 8}`). Said again, they are added to what was said before.

    Raises:
        SettingsError: a setting is wrong; all that are wrong are listed.
    """
    _default.configure(**settings)


def default_platform() -> Platform:
    """The platform that the synchronous doors use, made on first use from what `configure` said."""
    return _default.platform()


def run(task: Task | str, run_id: str | None = None, user: str | None = None) -> TaskResult:
    """Run a task on the default platform and return its result. Also works inside a running event loop.

    Args:
        task: The task, or its description.
        run_id: Your own id for the run.
        user: Who asks.

    Raises:
        UsageError, Conflict, StoreFailed: as `Platform.run`.
    """
    return _default.platform().run_sync(task, run_id=run_id, user=user)


def decompose(
    task: str,
    *,
    tools: Sequence[Any] | None = None,
    model: str | None = None,
    max_steps: int = 50,
    temperature: float = 0.2,
) -> Plan:
    """Take a task apart into a plan on the default platform. Also works inside a running event loop.

    Args:
        task: What is to be done.
        tools: What its steps may use.
        model: The model that plans.
        max_steps: Steps at most; there is always a bound.
        temperature: The model's sampling temperature.

    Raises:
        DecompositionError, AuthenticationError, UsageError: as `Platform.decompose`.
    """
    return _default.platform().decompose_sync(
        task, tools=tools, model=model, max_steps=max_steps, temperature=temperature
    )


def execute(
    plan: Plan,
    run_id: str | None = None,
    resume: bool = False,
    max_concurrent: int = 3,
    tools: Sequence[Any] | None = None,
    *,
    in_doubt: InDoubt = None,
    max_cost: float | None = None,
) -> list[StepResult]:
    """Carry a plan out on the default platform, each step once. Also works inside a running event loop.

    Args:
        plan: The plan.
        run_id: Your own id for the run, under which it can be resumed.
        resume: Go on with that run: what is done stays done, what failed is tried again.
        max_concurrent: Steps at the same time, at most.
        tools: What the steps' `tool` names refer to, beside the plan's own.
        in_doubt: What becomes of steps that were cut off and may have happened, as in `{"step_3": "repeat"}`.
        max_cost: The most all of it may cost, in USD.

    Returns:
        One result for every step; a failed step is returned, not raised.

    Raises:
        UsageError, Conflict: as `Platform.execute`.
    """
    return _default.platform().execute_sync(
        plan, run_id, resume, max_concurrent=max_concurrent, tools=tools, in_doubt=in_doubt, max_cost=max_cost
    )
