"""Programs that run other programs, and what can be seen of the command inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interlock.tools.shell import read_command

#: Commands inside commands are looked into this deep.
MAX_DEPTH = 5
#: Longest command that is looked through for others, in words.
MAX_WORDS = 1_000

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
#: Options that make a searching program run another one, or change what it finds.
_ACTING = {
    "find": frozenset({"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"}),
    "fd": frozenset({"-x", "-X", "--exec", "--exec-batch"}),
}
#: The letters of the options that take a program's text, by interpreter.
_CODE = {"python": "c", "node": "ep", "perl": "eE", "ruby": "e", "php": "r", "lua": "e"} | dict.fromkeys(_SHELLS, "c")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a wrapper is written: options without and with a value, then so many words, then the command."""

    plain: frozenset[str]
    valued: frozenset[str]
    words: int


def _form(plain: str = "", valued: str = "", words: int = 0) -> _Form:
    return _Form(frozenset(plain.split()), frozenset(valued.split()), words)


_WRAPPERS = {
    "env": _form("-i -"),
    "sudo": _form("-n -E -H -k", "-u -g"),
    "doas": _form("-n", "-u"),
    "timeout": _form("--foreground --preserve-status -v", "-k -s", 1),
    "nice": _form("", "-n"),
    "ionice": _form("-t", "-c -n"),
    "xargs": _form("-0 -r -t", "-n -P -I -L -d"),
    "stdbuf": _form("", "-i -o -e"),
    "setsid": _form("-f -w"),
    "chroot": _form("", "", 1),
    "flock": _form("-n -x -s", "-w", 1),
    "watch": _form("-d -t", "-n"),
    "strace": _form("-f", "-o -e"),
    "ssh": _form("", "", 1),
    **dict.fromkeys(("nohup", "time", "command", "exec", "busybox", "toybox", "unshare"), _form()),
    **dict.fromkeys(("su", "script", "parallel", "runuser", "systemd-run"), _form()),
}


def last_name(program: str) -> str:
    """A program's name without its directory."""
    return program.rpartition("/")[2]


def acting_options(program: str) -> frozenset[str]:
    """The options by which a searching program runs another one."""
    return _ACTING.get(last_name(program), frozenset())


def risky_words(argv: tuple[str, ...]) -> set[str]:
    """The words by which this command runs a program text or another program: `-c`, `-exec` and their like."""
    acting = acting_options(argv[0])
    found = {word for word in argv[1:] if word in acting}
    letters = _CODE.get(re.sub(r"[\d.]+$", "", last_name(argv[0])), "")
    if letters and len(argv) > 1 and argv[1].startswith(("-", "+")):
        # Anywhere and in any bundle (`-Ic`): which word is an option's value, only the program itself knows.
        found |= {word for word in argv[1:] if re.match(rf"[-+][A-Za-z]*[{letters}]|--(eval|print|command)", word)}
    return found


def runs_another(argv: tuple[str, ...]) -> bool:
    """Whether this command's use is to run another command, which then has to be judged too."""
    program = last_name(argv[0])
    return program in _WRAPPERS or (program in _SHELLS and bool(risky_words(argv)))


def inner_start(argv: tuple[str, ...]) -> int | None:
    """Where the wrapped command begins, or None where that is not plain to see."""
    form = _WRAPPERS.get(last_name(argv[0]))
    if form is None:
        return None
    at, words = 1, form.words
    while at < len(argv):
        if argv[at] in form.valued:
            at += 2
        elif argv[at] in form.plain:
            at += 1
        elif argv[at].startswith("-"):
            return None
        elif words:
            words, at = words - 1, at + 1
        else:
            return at
    return None


def inner_command(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The one command that a wrapper or `sh -c TEXT` runs, or nothing where that is not plain to see."""
    start = inner_start(argv)
    if start is not None:
        return argv[start:]
    if last_name(argv[0]) in _SHELLS and len(argv) == 3 and argv[1] == "-c":
        return _read(argv[2])
    return ()


def parts(argv: tuple[str, ...], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """The command, and generously everything in it that it might run. For rules that say no, not for those that allow.

    Raises:
        ValueError: it is nested too deeply or has too many words to look through.
    """
    if not argv:
        return
    yield argv
    if not runs_another(argv) and not risky_words(argv):
        return
    if depth == MAX_DEPTH or len(argv) > MAX_WORDS:
        raise ValueError("commands inside commands without end")
    for at in range(1, len(argv)):
        yield argv[at:]
        if " " in argv[at]:
            yield from parts(_read(argv[at]), depth + 1)


def _read(text: str) -> tuple[str, ...]:
    try:
        return tuple(read_command(text))
    except ValueError:
        return ()
