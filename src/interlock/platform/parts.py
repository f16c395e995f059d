"""What all parts of the front door share; each is provided by one of them, or by `Platform` itself."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from interlock.engine.clock import Clock
    from interlock.platform.access import Access
    from interlock.platform.admission import Admission, FlowName
    from interlock.platform.assembly import House
    from interlock.platform.executor import Executor
    from interlock.platform.handle import Handle
    from interlock.platform.registry import Registry
    from interlock.platform.result import TaskResult
    from interlock.platform.routing import Route
    from interlock.platform.settings import Settings
    from interlock.platform.telemetry import Telemetry
    from interlock.platform.toolbox import Toolbox
    from interlock.records.plan import Plan, Step
    from interlock.records.run import Run
    from interlock.records.task import Task
    from interlock.stores.sqlite import SqliteJournal

T = TypeVar("T")
#: What becomes of steps in doubt: `repeat` or `skip`, for all of them or for each by its name.
InDoubt: TypeAlias = str | Mapping[str, str] | None


class Parts(ABC):
    """What the parts of a `Platform` may count on. Abstract, so that a part that is missing is found at once."""

    _clock: Clock
    _houses: dict[asyncio.AbstractEventLoop, House]
    _registry: Registry
    _settings: Settings
    _telemetry: Telemetry

    @property
    @abstractmethod
    def access(self) -> Access:
        """Who may do what."""

    @abstractmethod
    async def find(self, run_id: str) -> str:
        """The full id of a run."""

    @abstractmethod
    async def resume(
        self, run_id: str, *, in_doubt: InDoubt = None, by: str = "", tools: Sequence[Any] | None = None
    ) -> TaskResult:
        """Go on with a run."""

    @abstractmethod
    async def _go_on(self, run_id: str, in_doubt: InDoubt, by: str, tools: Sequence[Any] | None = None) -> Run:
        """Have a run go on, and come back at once with how it stood."""

    @abstractmethod
    def _handle(self, run: Run) -> Handle:
        """A handle on a run."""

    @abstractmethod
    def _house(self) -> House:
        """The parts for the running event loop, made on first use."""

    def _open_houses(self) -> Iterable[House]:
        """The parts that are already at work, one set for each event loop."""
        return self._houses.values()

    @abstractmethod
    def _open(self) -> SqliteJournal:
        """The journal, opened on first use."""

    @abstractmethod
    def _sync(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in a loop of our own, and wait for it."""

    @abstractmethod
    def _available(self, name: str) -> bool:
        """Whether an agent is there, with the key it needs."""

    @abstractmethod
    def _route(self, task: Task, *, pure: bool) -> Route:
        """Who gets a task."""

    @abstractmethod
    def _admission(self, task: Task, run_id: str | None, user: str | None, flow: FlowName | None = None) -> Admission:
        """A task at the door."""

    @abstractmethod
    async def _run(self, admission: Admission) -> TaskResult:
        """Admit a task and wait for its end."""

    @abstractmethod
    async def _submit(self, admission: Admission) -> Handle:
        """Admit a task and come back at once."""

    @abstractmethod
    def _toolbox(self, tools: Sequence[Any]) -> Toolbox:
        """Tools as users write them, read."""

    @abstractmethod
    def _lend(self, run_id: str, plan: Plan, to_do: Sequence[Step], executor: Executor, box: Toolbox) -> None:
        """Have a run's steps find their tools and their executor here."""

    @abstractmethod
    async def _give_back(self, run_id: str) -> None:
        """Take back what was lent to a run."""
