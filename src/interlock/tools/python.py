"""The code interpreter: Python in a process of its own, behind walls, with a folder of files for each run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import Act, Permit
from interlock.tools.child import Ended, run_child
from interlock.tools.folders import remove, walk
from interlock.tools.function import shortest
from interlock.tools.sandbox import Level, Sandbox, strength
from interlock.tools.signature import misfit, refuse_unknown
from interlock.tools.tool import Caller, ToolSpec, act_for, permitted

NAME = "code_interpreter"
#: Longest code, in UTF-8 bytes: it is one word of the child's command line, and the kernel takes no longer ones.
MAX_CODE = 100_000
#: Most bytes of the shown value of the last expression.
MAX_VALUE = 20_000
#: Files of the scratch folder that a result lists.
MAX_FILES = 200
#: Files that are counted.
MAX_COUNTED = 10_000
#: Levels whose walls keep code from the files of the user. A list of programs cannot do that: code needs none.
_KEEPS_FILES: frozenset[Level] = frozenset({"bubblewrap+landlock", "landlock", "bubblewrap"})
#: Folder names that stand for themselves; other ids are hashed, with a first letter that none of these has.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")

#: What the child runs: the code as `__main__`, its last expression shown as a notebook would, errors without our part.
_RUNNER = """\
def run():
    import __main__, ast, linecache, sys, traceback
    code, mark, most = sys.argv[1:]
    sys.argv[:] = [""]
    sys.path.append("")
    names = vars(__main__)
    names.pop("run")
    linecache.cache["<code>"] = len(code), None, code.splitlines(True), "<code>"
    try:
        tree = ast.parse(code, "<code>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<code>", "exec"), names)
        if last is None:
            return
        value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)
        if value is None:
            return
        shown = repr(value).encode(errors="backslashreplace")
    except SystemExit:
        raise
    except BaseException as error:
        at = error.__traceback__
        while at is not None and at.tb_frame.f_code.co_filename != "<code>":
            at = at.tb_next
        traceback.print_exception(type(error), error.with_traceback(at), at)
        sys.exit(1)
    end = "" if len(shown) <= int(most) else "..."
    sys.__stdout__.write("\\n" + mark + shown[: int(most)].decode(errors="ignore") + end)
run()
"""


class PythonTool:
    """Runs Python code with this interpreter and the packages installed with it.

    The code runs in a process of its own, in the scratch folder of the run it works for: what one call leaves there,
    the next call of the same run finds. It can change nothing else, uses no network, starts no other program, and
    sees no variable of this process. Where the walls for that cannot be had, no code is run.

    Doing a call twice changes nothing outside its scratch folder, so a call that was cut off is repeated; what its
    first try left in the folder is still there then. Without walls (`off`) that cannot be said, and nothing is
    repeated.

    Args:
        scratch: Where the scratch folders are; made on first use.
        sandbox: The walls, of which level, limits and what is protected are used; None for the strongest there are.
        workspace: A folder that code may read, if any.
        timeout: Seconds a call may take.
        max_output: Bytes kept of each of stdout and stderr; of more, the head and the tail are kept.

    Raises:
        UsageError: code `usage.tool`: a limit makes no sense.
    """

    def __init__(
        self,
        scratch: str | Path,
        *,
        sandbox: Sandbox | None = None,
        workspace: str | Path | None = None,
        timeout: float = 60.0,
        max_output: int = 64_000,
    ) -> None:
        if not 0 < timeout < float("inf") or max_output < 1:
            raise UsageError(f"{NAME} needs a timeout and a max_output of more than 0.", code="usage.tool")
        self.timeout, self.max_output = float(timeout), max_output
        self._scratch = Path(scratch).expanduser().absolute()
        self._sandbox = replace(
            sandbox or Sandbox(),
            writable=True,
            network=False,
            programs=lambda: (),  # the interpreter alone: what else may run is for the command policy to say
            helpers=(),
            read=(*_installation(), *([] if workspace is None else [os.path.realpath(workspace)])),
            write=(),
            protected=(*(sandbox or Sandbox()).protected, self._scratch),
        )
        self.repeatable = self._sandbox.level != "off"
        self.spec = ToolSpec(name=NAME, description=_ABOUT, parameters=_PARAMETERS)

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """The act's `code` is what is judged and what is run.

        Raises:
            ToolFailed: code `tool.arguments`: there is no code, or no code that can be run.
        """
        refuse_unknown(NAME, arguments, _PARAMETERS["properties"])
        return act_for(caller, "tool", NAME, {"code": _read_code(arguments.get("code"))})

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Run the permitted code.

        Returns:
            `{"exit_code", "stdout", "stderr", "value", "files", "seconds", "truncated", "sandbox"}`: `value` is the
            last expression's as `repr` shows it, or None; `files` are those of the scratch folder with their sizes.

        Raises:
            ToolFailed: `tool.timeout`, `sandbox.unavailable` where the walls cannot be had, or `tool.error`.
        """
        code = str(permitted(permit, "tool", NAME)["code"])
        timeout = shortest(self.timeout, caller.timeout) or self.timeout
        async with self._folder(caller.run_id) as folder:
            mark = hashlib.sha256(f"{caller.run_id}\n{caller.path}\n{code}".encode(errors="replace")).hexdigest()
            try:
                level, ended = await self._run_inside(code, mark, folder, timeout)
            except (OSError, ValueError) as error:
                raise ToolFailed("The interpreter could not be started.", detail=repr(error)) from error
            if ended.ending == "timeout":
                raise _too_slow(timeout, ended)
            files, more = await asyncio.to_thread(_files_in, folder)
        return {**_answer(ended, mark), "files": files, **more, "sandbox": level}

    async def _run_inside(self, code: str, mark: str, folder: str, timeout: float) -> tuple[Level, Ended]:
        most = min(MAX_VALUE, self.max_output // 4)  # it comes last, and of too much output the tail is kept
        argv = [sys.executable, "-I", "-B", "-X", "utf8", "-c", _RUNNER, code, mark, str(most)]
        env = {"HOME": folder, "TMPDIR": folder, "PATH": "", "LANG": "C.UTF-8", "TERM": "dumb", "MPLBACKEND": "Agg"}
        sandbox = replace(self._sandbox, protected=_all_but(folder, self._sandbox))
        around = sandbox.around(
            sys.executable, argv, cwd=folder, env=env, seconds=timeout, network=False, directories=()
        )
        async with around as (level, start):
            if level not in _KEEPS_FILES and level != sandbox.level:
                raise _no_walls(sandbox)
            ended = await run_child(
                start.program,
                start.argv,
                cwd=folder,
                env=start.env,
                timeout=timeout,
                max_output=self.max_output,
                channel=start.channel,
            )
            if (failure := start.failure()) is not None and ended.ending == "exited":
                raise ToolFailed(
                    "The walls around the code could not be built, so it was not run.",
                    _LOOK,
                    code="sandbox.unavailable",
                    detail=repr(failure),
                )
        return level, ended

    @contextlib.asynccontextmanager
    async def _folder(self, run_id: str) -> AsyncIterator[str]:
        """The folder of a run; without a run, one that is gone afterwards."""
        try:
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            if run_id:
                folder = self._scratch / folder_name(run_id)
                folder.mkdir(mode=0o700, exist_ok=True)
            else:
                folder = Path(tempfile.mkdtemp(prefix="_", dir=self._scratch))
        except OSError as error:
            raise ToolFailed("The scratch folder for code cannot be made.", detail=repr(error)) from error
        try:
            yield str(folder)
        finally:
            if not run_id:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(remove, folder)


def folder_name(run_id: str) -> str:
    """The name of a run's scratch folder: its id where that is a plain name, else a digest of it."""
    return run_id if _PLAIN.fullmatch(run_id) else f"_{hashlib.sha256(run_id.encode(errors='replace')).hexdigest()}"


def _installation() -> list[str]:
    """Where this interpreter and its packages are, except where that is all of the disk or a user's whole home."""
    own = dict.fromkeys(os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)))
    return [path for path in own if path not in ("/", os.path.realpath(os.path.expanduser("~")))]


def _all_but(folder: str, sandbox: Sandbox) -> list[str]:
    """What is protected, except a folder inside of it: then everything on the way to that folder that stands beside it.

    Where nothing that may be read leads to what is protected, nothing has to be said of what stands there.
    """
    found = []
    folder = os.path.realpath(folder)
    for given in sandbox.protected:
        path = os.path.realpath(os.path.expanduser(given))
        if not _is_below(folder, path):
            found.append(str(given))
        elif any(_is_below(path, place) for place in sandbox.read):
            found += _beside(folder, path)
    return found


def _beside(folder: str, above: str) -> Iterator[str]:
    while folder != above:
        folder, name = os.path.split(folder)
        yield from (entry.path for entry in os.scandir(folder) if entry.name != name)


def _is_below(path: str, above: str) -> bool:
    return os.path.commonpath((path, above)) == above


def _read_code(code: object) -> str:
    if not isinstance(code, str) or not code.strip():
        raise misfit(NAME, "`code` must be a text with Python code")
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        raise misfit(NAME, "`code` holds half a character") from None
    if size > MAX_CODE:
        raise misfit(NAME, f"`code` may have at most {MAX_CODE:,} bytes; put data into files")
    if "\0" in code:
        raise misfit(NAME, "`code` holds a NUL character")
    return code


def _answer(ended: Ended, mark: str) -> dict[str, Any]:
    said, found, value = ended.stdout.rpartition(f"\n{mark}")
    return {
        "exit_code": ended.exit_code,
        "stdout": said if found else ended.stdout,
        "stderr": ended.stderr + ("\nStopped: it wrote without end.\n" if ended.ending == "flood" else ""),
        "value": value if found else None,
        "seconds": ended.seconds,
        "truncated": ended.truncated,
    }


def _files_in(folder: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The files below a folder, by name, and how many more there are than are listed. No symbolic link is followed."""
    listed: list[dict[str, Any]] = []
    more = 0
    for path, size in islice(_walk(folder), MAX_COUNTED):
        if len(listed) < MAX_FILES:
            listed.append({"path": os.path.relpath(path, folder).encode(errors="replace").decode(), "bytes": size})
        else:
            more += 1
    return listed, {"more_files": more} if more else {}


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    for above, folders, names in walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(above, name)
            with contextlib.suppress(OSError):  # just gone: a call beside this one has removed it
                yield path, os.lstat(path).st_size


def _too_slow(timeout: float, ended: Ended) -> ToolFailed:
    last = (ended.stderr or ended.stdout).strip()[-500:]
    said = f" The last it wrote: {last}" if last else ""
    return ToolFailed(
        f"The code took longer than {timeout:g} seconds and was stopped.{said}",
        "Ask for less at once, or set `code_interpreter.timeout`.",
        code="tool.timeout",
    )


def _no_walls(sandbox: Sandbox) -> ToolFailed:
    lacks = "; ".join(strength(sandbox.level)[1][:3])
    return ToolFailed(
        "This machine has no sandbox that keeps code from your files, so no code is run.",
        f'{_LOOK} `sandbox.level = "off"` runs code without walls.',
        code="sandbox.unavailable",
        detail=lacks,
    )


_LOOK = "Run `interlock doctor`; it says which sandbox this machine has."

_ABOUT = (
    "Run Python code in a fresh process and get what it prints, and the value of its last expression. There is no "
    "network, and no other program can be started. Variables do not last from one call to the next; files in the "
    "current folder do. Write a file as a whole rather than add to it: a call that is cut off is run again."
)

_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "The Python code."}},
    "required": ["code"],
    "additionalProperties": False,
}
