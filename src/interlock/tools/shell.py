"""The shell tool, which is no shell: one program, its words, a clean environment, a bounded answer."""

from __future__ import annotations

import os
import re
import shlex
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import Act, Permit
from interlock.tools.child import Ended, run_child
from interlock.tools.sandbox import Level, Sandbox, unavailable
from interlock.tools.signature import misfit, refuse_unknown
from interlock.tools.tool import Caller, ToolSpec, act_for, permitted

#: Where programs are looked for, in this order. Never the caller's PATH.
TRUSTED = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
#: Longest command, in UTF-8 bytes, all words together.
MAX_COMMAND = 100_000
#: What must not stand outside quotes, since a shell would give it a meaning that nothing here has.
META = frozenset(";&|<>()$`\\*?[]{}#!\n")
#: What keeps its meaning inside double quotes.
META_QUOTED = frozenset("$`\\")

#: Programs that only look, so that repeating one does no harm; with words, only that subcommand does.
READ_ONLY = frozenset(
    {
        *("ls", "cat", "df", "du", "ps", "free", "uptime", "uname", "nproc", "lsblk", "lscpu", "lsmem", "pwd", "id"),
        *("grep", "egrep", "fgrep", "head", "tail", "wc", "stat", "file", "cmp", "diff", "comm", "cut", "which"),
        *("whoami", "groups", "printenv", "basename", "dirname", "realpath", "readlink", "getent", "sha256sum"),
        *("git status", "git log", "git diff", "git show", "git blame", "git rev-parse", "git ls-files"),
    }
)

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|^DATABASE_URL$", re.I)

_ONE_SIMPLE = (
    "only one simple command is possible, without pipes, redirections, variables, patterns or several commands; "
    "put special characters into single quotes, or give the words as `argv`"
)


class ShellTool:
    """Runs one program with its words, never through a shell.

    The program is looked up in trusted directories only, when the act is made, and exactly that path is executed.
    It gets an empty standard input and a clean environment, and runs in its own process group, of which nothing
    survives the call. An exit code other than 0 is a result, not a failure.

    Args:
        cwd: The workspace it runs in.
        timeout: Seconds a command may take.
        max_output: Bytes kept of each of stdout and stderr; of more, the head and the tail are kept.
        env_allow: Names of variables it may see beside PATH, HOME, LANG and TERM. Names of secrets are refused.
        directories: Trusted directories beside the usual ones, searched after them.
        programs: Absolute paths that may be given as they are.
        sandbox: The walls around each command; without one there are none.

    Raises:
        UsageError: code `usage.shell`: the workspace is no directory, or a setting makes no sense.
    """

    repeatable = False

    def __init__(
        self,
        cwd: str | Path,
        *,
        timeout: float = 60.0,
        max_output: int = 64_000,
        env_allow: Sequence[str] = (),
        directories: Sequence[str] = (),
        programs: Sequence[str] = (),
        sandbox: Sandbox | None = None,
    ) -> None:
        self.cwd = str(_workspace(cwd))
        if not 0 < timeout < float("inf") or max_output < 1:
            raise UsageError("The shell needs a timeout and a max_output of more than 0.", code="usage.shell")
        self.timeout, self.max_output = float(timeout), max_output
        self._directories = (*TRUSTED, *map(_absolute, directories))
        self._programs = frozenset(map(_absolute, programs))
        self._env_allow = tuple(_harmless(name) for name in env_allow)
        self._sandbox = sandbox or Sandbox(level="off")
        self.spec = ToolSpec(name="shell", description=_ABOUT, parameters=_PARAMETERS)

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """Read the command and look its program up. The act's `argv` is what a policy judges and what is run.

        Raises:
            ToolFailed: code `tool.arguments`: it is not one simple command, or there is no such program.
        """
        refuse_unknown("shell", arguments, _PARAMETERS["properties"])
        argv = _hardened(_read_arguments(arguments))
        name, program = self._look_up(argv[0])
        found = {"argv": [name, *argv[1:]], "program": program, "cwd": self.cwd}
        return act_for(caller, "command", name, found, cwd=self.cwd)

    def repeatable_act(self, act: Act) -> bool:
        """Whether this command only looks."""
        argv = list(act.arguments.get("argv", ()))
        return bool(argv) and (argv[0] in READ_ONLY or " ".join(argv[:2]) in READ_ONLY)

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Run what the permit allows: `{"exit_code", "stdout", "stderr", "seconds", "truncated", "sandbox"}`.

        A command that a person allowed may use the network.

        Raises:
            ToolFailed: `tool.timeout`, `sandbox.unavailable` when the walls it needs cannot be built, or `tool.error`
                when it cannot be started.
        """
        argv = list(permitted(permit, "command")["argv"])
        timeout = self.timeout if caller.timeout is None else min(self.timeout, caller.timeout)
        try:
            level, ended = await self._run_inside(permit, timeout)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it cannot be executed"
            raise ToolFailed(f"{argv[0]} could not be started: {reason}.", detail=repr(error)) from error
        if ended.ending == "timeout":
            raise _too_slow(argv[0], timeout, ended)
        return {**_answer(ended), "sandbox": level}

    async def _run_inside(self, permit: Permit, timeout: float) -> tuple[Level, Ended]:
        arguments = permit.act.arguments
        program, argv, cwd = str(arguments["program"]), list(arguments["argv"]), str(arguments["cwd"])
        around = self._sandbox.around(
            program,
            argv,
            cwd=cwd,
            env=self._environment(),
            seconds=timeout,
            network=bool(permit.verdict.approved_by),
            directories=self._directories,
        )
        async with around as (level, start):
            # Without walls around files a command could answer for people, so these must be what somebody asked for.
            if level in ("none", "seccomp") and level != self._sandbox.level and not self.repeatable_act(permit.act):
                raise unavailable(self._sandbox.level)
            ended = await run_child(
                start.program,
                start.argv,
                cwd=cwd,
                env=start.env,
                timeout=timeout,
                max_output=self.max_output,
                channel=start.channel,
            )
            if (failure := start.failure()) is not None and ended.ending == "exited":
                raise _not_begun(*failure)
        return level, ended

    def _look_up(self, program: str) -> tuple[str, str]:
        """The name a policy judges, and the path that is executed."""
        if "/" not in program:
            for directory in self._directories:
                if _is_program(f"{directory}/{program}"):
                    return program, f"{directory}/{program}"
            raise misfit("shell", f"there is no program {program[:100]!r}{_hint(program)}")
        directory, _, name = program.rpartition("/")
        if program in self._programs and _is_program(program):
            return program, program
        if directory in self._directories and _is_program(program):
            return name, program
        raise misfit("shell", f"the program {program[:100]!r} may not be given by its path; give only its name")

    def _environment(self) -> dict[str, str]:
        clean = {"HOME": os.path.expanduser("~"), "LANG": "C.UTF-8", **_QUIET}
        allowed = {name: os.environ[name] for name in self._env_allow if name in os.environ}
        return clean | allowed | {"PATH": ":".join(self._directories), "TERM": "dumb"}


def read_command(text: str) -> list[str]:
    """The words of one simple command, as a shell would split it.

    Raises:
        ValueError: it is anything else; the sentence says what.
    """
    _check_characters(text, "")
    quote, before = "", " "
    for char in text:
        if quote:
            if char == quote:
                quote = ""
            elif quote == '"' and char in META_QUOTED:
                raise ValueError(f"{char!r} inside double quotes: {_ONE_SIMPLE}")
        elif char in "'\"":
            quote = char
        elif char in META or (char == "~" and before in " =:"):
            raise ValueError(f"{char!r} outside quotes: {_ONE_SIMPLE}")
        before = char
    if quote:
        raise ValueError("a quote is not closed")
    words = shlex.split(text, posix=True)
    if not words or not words[0]:
        raise ValueError("there is no program")
    if _ASSIGNMENT.match(words[0]):
        raise ValueError(f"{words[0][:100]!r} sets a variable: {_ONE_SIMPLE}")
    return words


def _hardened(argv: list[str]) -> list[str]:
    """The command with what keeps git from running programs a repository names for showing differences.

    It is part of the act, so that what is judged and shown is still exactly what is run.
    """
    if argv[0].rpartition("/")[2] != "git":
        return argv
    at = next((at for at, word in enumerate(argv) if at and not word.startswith("-")), 0)
    if not at or argv[at] not in _SHOWS_DIFFERENCES:
        return argv
    end = argv.index("--", at) if "--" in argv[at:] else len(argv)
    return [*argv[:end], *(word for word in _NO_PROGRAMS if word not in argv), *argv[end:]]


def _read_arguments(arguments: Mapping[str, Any]) -> list[str]:
    if ("argv" in arguments) == ("command" in arguments):
        raise misfit("shell", "give either `argv` or `command`")
    try:
        if "command" in arguments:
            if not isinstance(arguments["command"], str):
                raise ValueError("`command` must be a text")
            return read_command(arguments["command"])
        return _check_argv(arguments["argv"])
    except ValueError as error:
        raise misfit("shell", str(error)) from None


def _check_argv(argv: object) -> list[str]:
    if not isinstance(argv, (list, tuple)) or not argv or not all(isinstance(word, str) for word in argv):
        raise ValueError("`argv` must be a list of texts, the program first")
    if not argv[0].strip():
        raise ValueError("there is no program")
    _check_characters(argv[0], "")
    # A line break or tab is data where no shell reads it: a commit message, a pattern, a program for awk.
    _check_characters("".join(argv[1:]), "\n\t")
    return list(argv)


def _check_characters(text: str, but: str) -> None:
    """Refuse what a terminal, a person or a parser may read differently from the program that is run."""
    if len(text.encode(errors="replace")) > MAX_COMMAND:
        raise ValueError(f"a command may have at most {MAX_COMMAND:,} bytes")
    if text.isascii() and text.isprintable():
        return
    for char in text:
        category = unicodedata.category(char)
        if char not in but and (category in ("Cc", "Cf", "Cs") or (category[0] == "Z" and char != " ")):
            raise ValueError(f"the character U+{ord(char):04X} (control, invisible or unusual space) is not possible")


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _hint(program: str) -> str:
    if program in ("cd", "export", "alias", "source", ".", "set", "pushd"):
        return "; there is no shell, so nothing lasts from one command to the next, and each runs in the workspace"
    return ""


def _too_slow(name: str, timeout: float, ended: Ended) -> ToolFailed:
    last = (ended.stderr or ended.stdout).strip()[-500:]
    said = f" The last it wrote: {last}" if last else ""
    return ToolFailed(
        f"{name} took longer than {timeout:g} seconds and was stopped.{said}",
        "Ask for less at once, or give it a longer timeout.",
        code="tool.timeout",
    )


def _not_begun(what: str, number: int, detail: str) -> Exception:
    if what == "exec":
        return OSError(number, os.strerror(number))
    return ToolFailed(
        "The walls around the command could not be built, so it was not run.",
        "Run `interlock doctor`; it says which sandbox this machine has.",
        code="sandbox.unavailable",
        detail=detail,
    )


def _answer(ended: Ended) -> dict[str, Any]:
    flood = "\nStopped: it wrote without end.\n" if ended.ending == "flood" else ""
    return {
        "exit_code": ended.exit_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr + flood,
        "seconds": ended.seconds,
        "truncated": ended.truncated,
    }


def _workspace(cwd: str | Path) -> Path:
    found = Path(cwd).expanduser().resolve()
    if not found.is_dir():
        raise UsageError(f"The workspace {cwd} is no directory.", code="usage.shell")
    return found


def _absolute(path: str) -> str:
    if not path.startswith("/") or os.path.normpath(path) != path or path.startswith("//"):
        raise UsageError(f"{path!r} is no plain absolute path.", code="usage.shell")
    return path


def _harmless(name: str) -> str:
    if _SECRET.search(name):
        raise UsageError(
            f"The variable {name} looks like a secret; commands never see those.",
            "Take it off the list of variables commands may see.",
            code="usage.shell",
        )
    return name


# Programs that would open a pager, ask for a password or run what a repository's own settings name.
_QUIET = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_COUNT": "3",
    "GIT_CONFIG_KEY_0": "core.fsmonitor",
    "GIT_CONFIG_VALUE_0": "false",
    "GIT_CONFIG_KEY_1": "core.hooksPath",
    "GIT_CONFIG_VALUE_1": "/dev/null",
    # A directory in the workspace that looks like a repository is not taken for one.
    "GIT_CONFIG_KEY_2": "safe.bareRepository",
    "GIT_CONFIG_VALUE_2": "explicit",
}

_SHOWS_DIFFERENCES = frozenset({"diff", "log", "show"})
_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")

_ABOUT = (
    "Run one program in the workspace and get its exit code and output. There is no shell: no pipes, redirections, "
    "variables, patterns or several commands at once. Give `argv`, or `command` for one simple command. "
    "Which programs are allowed is decided by a policy."
)

_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "argv": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": 'The program and its words, for example ["git", "log", "-n", "5"].',
        },
        "command": {"type": "string", "description": "One simple command, for example: df -h /tmp"},
    },
    "required": [],
    "additionalProperties": False,
}
