"""Words by which a program acts that only seems to look: its options in any spelling, and scripts for awk and sed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_AWK = frozenset({"awk", "gawk", "mawk", "nawk"})
#: What an awk program runs commands, writes files, reads others or loads code with.
_AWK_ACTS = re.compile(
    r"\bsystem\b|\bgetline\b|@\s*(?:load|include|namespace)|@\w+\s*\(|\bprintf?\b[^;}\n]*[|>]|\|&?\s*[\"(]|\bENVIRON\b"
)
_SED_PLACE = r"(?:\d+(?:~\d+)?|\$|/(?:\\.|[^/\\])*/[IM]*)"
#: One command of sed that only changes what is printed: nothing with `e`, `r`, `w` or a block of others.
_SED_LOOKS = re.compile(
    rf"[\s;]*(?:{_SED_PLACE}(?:\s*,\s*(?:{_SED_PLACE}|[+~]\d+))?)?\s*!?\s*"
    r"(?:[dDgGhHnNpPxz=]|[qQlL]\s*\d*|[aic]\s*\\?[^\n]*|[:btT]\s*\w*"
    r"|s(?P<s>[^\w\s\\;])(?:\\.|(?!(?P=s))[^\\])*(?P=s)(?:\\.|(?!(?P=s))[^\\])*(?P=s)[gpiIM\d]*"
    r"|y(?P<y>[^\w\s\\;])(?:\\.|(?!(?P=y))[^\\])*(?P=y)(?:\\.|(?!(?P=y))[^\\])*(?P=y))[ \t]*(?=[;\n]|\Z)",
    re.DOTALL,
)


def acting_words(argv: tuple[str, ...], acting: Collection[str]) -> set[str]:
    """The words of a command that are among these options, in full, shortened, or in a bundle of letters.

    Of awk and sed the program is such a word too, where it does more than look at its input.

    Args:
        argv: The program and its words.
        acting: The options by which it acts.
    """
    name = argv[0].rpartition("/")[2]
    letters = {option[1] for option in acting if len(option) == 2}
    long = [option for option in acting if option.startswith("--")]
    found = {word for word in argv[1:] if _is_one(word, acting, letters, long, name)}
    if name == "tar" and len(argv) > 1 and argv[1].isalpha() and not letters.isdisjoint(argv[1]):
        found.add(argv[1])  # tar's first word needs no dash
    if name == "sed":
        found |= {script for script in _scripts(argv, False) if not _only_edits(script)}
    elif name in _AWK:
        found |= {script for script in _scripts(argv, True) if _AWK_ACTS.search(script)}
    return found


def _is_one(word: str, acting: Collection[str], letters: set[str], long: list[str], name: str) -> bool:
    given = word.partition("=")[0]
    if given in acting:
        return True
    if given.startswith("--"):
        return len(given) > 2 and any(option.startswith(given) for option in long)
    if word.startswith("+"):
        return name in ("vi", "vim", "nvim", "ex", "view")  # a command to begin with
    if name in _AWK and word[:2] in ("-v", "-F"):
        return False
    bundle = re.match(r"-(\w+)", word)
    return bundle is not None and not letters.isdisjoint(bundle[1])


def _scripts(argv: tuple[str, ...], spelled_out: bool) -> Iterator[str]:
    """What may be the program: the first word that is neither an option nor the value of one.

    Args:
        argv: The command.
        spelled_out: Whether long options may have the next word as their value: then that one may be it, too.
    """
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            yield next(words, "")
            return
        if word in ("-v", "-F", "-l"):
            next(words, None)
        elif not word.startswith("-"):
            yield word
            return
        elif spelled_out and word.startswith("--") and "=" not in word:
            yield next(words, "")


def _only_edits(script: str) -> bool:
    at = 0
    while at < len(script):
        found = _SED_LOOKS.match(script, at)
        if found is None:
            return not script[at:].strip(" \t\n;")
        at = found.end()
    return True
