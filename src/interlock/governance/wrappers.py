"""Programs that run other programs or code, and what can be seen of the commands inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interlock.governance.shell.acting import acting_words
from interlock.governance.shell.expand import expand
from interlock.governance.shell.grammar import parse
from interlock.governance.shell.lexer import NotUnderstood

#: Commands inside commands are looked into this deep.
MAX_DEPTH = 5
#: Longest command that is looked through for others, in words.
MAX_WORDS = 1_000


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Programs that read shell text, from a file, an argument or their input.
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "rbash", "mksh"})
#: Wrappers that add words from their input to what they run, so that it cannot be judged beforehand.
FEEDERS = frozenset({"xargs", "parallel", "sem", "rush", "entr"})
#: What changes how later commands are understood, or runs text as shell code. Only rules that name these allow them.
STATEFUL = _names("""
    eval source . alias unalias trap enable hash export declare typeset readonly local set shopt bind complete compgen
    compopt fc mapfile readarray read let unset builtin exec
""")
#: Options that make a program run another one, read code, or change what it only seems to look at.
_ACTING = {
    program: _names(options)
    for programs, options in {
        "find": "-exec -execdir -ok -okdir -delete -fprint -fprint0 -fprintf -fls",
        "fd fdfind": "-x -X --exec --exec-batch",
        "git": "--exec --extcmd --upload-pack --receive-pack --tree-filter --index-filter --msg-filter --commit-filter",
        "tar": "-I -F --checkpoint-action --use-compress-program --to-command --rsh-command --info-script",
        "rsync": "-e --rsh --rsync-path",
        "scp sftp": "-S -o -F",
        "man": "-P -H --pager --html",
        "rg": "--pre --hostname-bin",
        "go": "-exec -toolexec -vettool",
        "make gmake": "-f -E --eval --file --makefile SHELL",
        "sort": "--compress-program -o --output",
        "zip": "-TT --unzip-command",
        "sed": "-e -f -i --expression --file --in-place",
        "gdb": "-ex -x -iex -ix --eval-command --command",
        "vi vim nvim ex view": "-c -S -s --cmd",
        "emacs": "--eval -l --load --execute",
        "printf": "-v",
        "awk gawk mawk nawk": "-f --file -e --source -i --include -l --load -E --exec",
        "docker podman": "--privileged --pid --volume -v --mount",
    }.items()
    for program in programs.split()
}
#: The letters of the options that take a program's text, by interpreter.
_CODE = {"python": "c", "node": "ep", "perl": "eE", "ruby": "e", "php": "r", "lua": "e"} | dict.fromkeys(SHELLS, "c")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a wrapper is written: options without and with a value, then so many words, then the command."""

    plain: frozenset[str]
    valued: frozenset[str]
    words: int


def _form(plain: str = "", valued: str = "", words: int = 0) -> _Form:
    return _Form(_names(plain), _names(valued), words)


_WRAPPERS = {
    "env": _form("-i -"),
    "sudo": _form("-n -E -H -k", "-u -g"),
    "doas": _form("-n", "-u"),
    "timeout": _form("--foreground --preserve-status -v", "-k -s", 1),
    "nice": _form("", "-n"),
    "ionice": _form("-t", "-c -n"),
    "chrt": _form("-b -f -i -o -r", "", 1),
    "taskset": _form("-a", "", 1),
    "xargs": _form("-0 -r -t", "-n -P -I -L -d"),
    "stdbuf": _form("", "-i -o -e"),
    "setsid": _form("-f -w"),
    "chroot": _form("", "", 1),
    "flock": _form("-n -x -s", "-w", 1),
    "watch": _form("-d -t", "-n"),
    "strace": _form("-f", "-o -e"),
    "ssh": _form("", "", 1),
    "time": _form("-p -v"),
    "command": _form("-p"),
    **dict.fromkeys(
        _names("""
            nohup exec builtin busybox toybox unshare su script parallel runuser systemd-run pkexec run0 nsenter prlimit
            setarch ltrace valgrind catchsegv rlwrap unbuffer entr dbus-run-session fakeroot firejail bwrap proot tsocks
            torify proxychains proxychains4 choom numactl cgexec capsh setpriv gosu su-exec eval sem rush
        """),
        _form(),
    ),
}


def last_name(program: str) -> str:
    """A program's name without its directory."""
    return program.rpartition("/")[2]


def acting_options(program: str) -> frozenset[str]:
    """The options by which a program that does not look like it runs another one, or code."""
    return _ACTING.get(last_name(program), frozenset())


def risky_words(argv: tuple[str, ...]) -> set[str]:
    """The words by which this command runs a program text or another program: `-c`, `-exec` and their like."""
    acting = acting_options(argv[0])
    found = acting_words(argv, acting) if acting else set()
    letters = _CODE.get(_interpreter(argv[0]), "")
    if letters and len(argv) > 1 and argv[1].startswith(("-", "+")):
        # Anywhere and in any bundle (`-Ic`): which word is an option's value, only the program itself knows.
        found |= {word for word in argv[1:] if re.match(rf"[-+][A-Za-z]*[{letters}]|--(eval|print|command)", word)}
    return found


def reads_code(argv: tuple[str, ...]) -> bool:
    """Whether this is a shell or interpreter that takes its code from its input, as after a pipe."""
    if _interpreter(argv[0]) not in _CODE:
        return False
    first = next((word for word in argv[1:] if not word.startswith("-") or word in ("-", "-s", "--")), "")
    return first in ("", "-", "-s", "--", "/dev/stdin")


def _interpreter(program: str) -> str:
    """A program's name without its version: `python3.12` is python."""
    return last_name(program).rstrip("0123456789.")


def runs_another(argv: tuple[str, ...]) -> bool:
    """Whether this command's use is to run another command, which then has to be judged too."""
    program = last_name(argv[0])
    return program in _WRAPPERS or (program in SHELLS and bool(risky_words(argv)))


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


def inner_text(argv: tuple[str, ...]) -> str | None:
    """The shell text that `sh -c TEXT` runs, or None where that is not plain to see."""
    plain = last_name(argv[0]) in SHELLS and len(argv) == 3 and argv[1] in ("-c", "-lc", "-ec", "-xc")
    return argv[2] if plain else None


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
            for inner in _read(argv[at]):
                yield from parts(inner, depth + 1)


def _read(text: str) -> list[tuple[str, ...]]:
    try:
        return [call.argv for call in expand(parse(text)).all if call.argv]
    except NotUnderstood:
        return []
