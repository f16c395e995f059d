"""A provider that is not one: a real HTTP server on loopback that speaks the vendors' wires, by script."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING

from interlock.errors import UsageError
from interlock.testing.desk import Desk, RecordedRequest
from interlock.testing.script import DEFAULT_REPLY, Reply, Script, ScriptSource, Text

if TYPE_CHECKING:
    from interlock.testing.loopback import Loopback

_HOST = "127.0.0.1"


class SimulatedProvider:
    """Speaks OpenAI chat completions, OpenAI responses and Anthropic messages, streamed or not.

    Use it with `async with` in the running loop, or with `with`, which gives it a thread and a loop of its
    own. It may be entered again after it was left. An exception of a script function goes to the client as
    a 400 and is raised when the server closes.

        async with SimulatedProvider(script=[Calls(call("shell", argv=["df"])), Text("Half full.")]) as sim:
            client = openai.AsyncOpenAI(base_url=sim.openai_url, api_key="any")

    Args:
        script: Replies and faults, used up one per request, or a function of the request.
        default: The reply when the list is used up.
        strict: Refuse a request (400) when the list is used up.
        latency: Seconds until the first byte of a reply.
        require_key: Refuse a request without an API key (401).
        accept_keys: The API keys that are accepted; empty for any.
        models: The names in the list of models.
        record: Keep the requests in `requests`; off where very many are made.
        port: The port, 0 for any free one.
        clock: Gives the time in seconds since 1970.

    Raises:
        UsageError: the script holds something that is neither a reply nor a fault.
    """

    def __init__(
        self,
        script: ScriptSource | None = None,
        *,
        default: Reply = DEFAULT_REPLY,
        strict: bool = False,
        latency: float = 0.0,
        require_key: bool = True,
        accept_keys: Collection[str] = (),
        models: Sequence[str] = ("simulated",),
        record: bool = True,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._default = default
        self._strict = strict
        self._wanted_port = port
        self._port: int | None = None
        self._key = next(iter(accept_keys), "sk-simulated")
        self._desk = Desk(
            Script(script, default=default, strict=strict),
            keys=frozenset(accept_keys),
            require_key=require_key,
            latency=latency,
            models=tuple(models),
            record=record,
            clock=clock,
        )
        self._loopback: Loopback | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path.

        Raises:
            UsageError: it does not listen.
        """
        if self._port is None:
            raise UsageError("The simulated provider is not running.", "Enter it with `with`.", code="usage.simulated")
        return f"http://{_HOST}:{self._port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's SDK, and for all that is compatible with it."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic's SDK."""
        return self.url

    def env(self) -> dict[str, str]:
        """The variables that send a child process here."""
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "OPENAI_API_KEY": self._key,
            "ANTHROPIC_API_KEY": self._key,
        }

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order they arrived. May be cleared."""
        return self._desk.requests

    @property
    def unused(self) -> int:
        """How many replies of the script's list have not been used yet."""
        return self._desk.script.unused

    @property
    def script(self) -> Script:
        """What comes back. May be set to a list or a function while it runs, from any thread."""
        return self._desk.script

    @script.setter
    def script(self, source: ScriptSource | None) -> None:
        self._desk.script = Script(source, default=self._default, strict=self._strict)

    @property
    def latency(self) -> float:
        """Seconds until the first byte of a reply; may be changed while it runs."""
        return self._desk.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._desk.latency = seconds

    async def __aenter__(self) -> SimulatedProvider:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        self._raise_script_errors(problem)

    def __enter__(self) -> SimulatedProvider:
        ready: Future[Callable[[], None]] = Future()
        thread = threading.Thread(target=self._serve, args=(ready,), name="simulated-provider", daemon=True)
        thread.start()
        self._stop = ready.result()
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stop is not None
        assert self._thread is not None
        self._stop()
        self._thread.join()
        self._raise_script_errors(problem)

    def _serve(self, ready: Future[Callable[[], None]]) -> None:
        async def serve() -> None:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            await self._open()
            ready.set_result(lambda: _tell(loop, stop))
            await stop.wait()
            await self._close()

        try:
            asyncio.run(serve())
        except Exception as problem:
            if ready.done():
                raise
            ready.set_exception(problem)

    async def _open(self) -> None:
        if self._loopback is not None:
            raise UsageError("The simulated provider is running already.", code="usage.simulated")
        try:
            from interlock.testing.loopback import Loopback
        except ModuleNotFoundError:
            raise UsageError(
                "The simulated provider needs aiohttp.", "Run `pip install 'interlock[testing]'`.", code="usage.extra"
            ) from None
        loopback = Loopback(self._desk.answer, self._wanted_port)
        try:
            self._port = await loopback.open()
        except OSError as problem:
            await loopback.close()
            says = f"The simulated provider cannot listen on port {self._wanted_port}."
            raise UsageError(says, "Give port 0 for a free one.", code="usage.port", detail=str(problem)) from problem
        self._loopback = loopback

    async def _close(self) -> None:
        loopback, self._loopback, self._port = self._loopback, None, None
        if loopback is not None:
            await loopback.close()

    def _raise_script_errors(self, problem: BaseException | None) -> None:
        errors, self._desk.errors = self._desk.errors, []
        if errors and problem is None:
            raise errors[0]


def _tell(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.call_soon_threadsafe(stop.set)


async def _run(sim: SimulatedProvider) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with sim:
        sys.stdout.write(f"{sim.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve in a process of its own until SIGINT or SIGTERM; the first line of stdout is the URL."""
    parser = argparse.ArgumentParser(prog="python -m interlock.testing.simulated", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port, 0 for any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="milliseconds until the first byte")
    parser.add_argument("--reply", default=DEFAULT_REPLY.text, help="the text of every answer")
    given = parser.parse_args(argv)
    asyncio.run(
        _run(
            SimulatedProvider(default=Text(given.reply), latency=given.latency_ms / 1000, port=given.port, record=False)
        )
    )


if __name__ == "__main__":
    main()
