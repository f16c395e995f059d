"""Shell text at random: what we accept, bash accepts; and no context makes an allowed command of a denied one."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.governance.shell.expand import expand
from interlock.governance.shell.grammar import parse
from interlock.governance.shell.lexer import NotUnderstood
from tests.fuzz.commands import CONTEXTS, DENIED, HARMLESS, POLICY, WRAPPERS
from tests.fuzz.size import tried

_BASH = shutil.which("bash")
_SOUP = (
    *("ls", "rm", "rm -rf x", "git", "status", "log", "-l", "--output=x", "a", "x=1", "CI=1", "1", "2", "''", "'a b'"),
    *('"a"', '"$HOME"', "$x", "$HOME", "${x}", "${x:=`rm y`}", "${x#$(rm y)}", "$(rm y)", "`rm y`", "`a \\`rm y\\``"),
    *(
        "$((1))",
        "<(rm y)",
        "$'a\\nb'",
        '$"a"',
        "~",
        "*.py",
        "{a,b}",
        "[a]",
        "\\",
        "\\\n",
        "\\rm",
        "\n",
        ";",
        ";;",
        "&",
        "&&",
    ),
    *("||", "|", "|&", "(", ")", "{", "}", "((", "))", "[[", "]]", "!", "if", "then", "elif", "else", "fi", "while"),
    *("until", "do", "done", "for", "in", "case", "esac", "select", "function", "time", "coproc", "<", ">", ">>", ">|"),
    *(
        "2>",
        "2>&1",
        "&>",
        ">&",
        "<&",
        "<>",
        "/dev/null",
        "<<E",
        "<<-E",
        "<<'E'",
        "E",
        "\nE\n",
        "<<<",
        "#",
        "#a",
        "=",
        "+=",
    ),
    *("ps\\\nql", "a()", "f() { rm y; }", "\t", " ", "\r", "é", "\x00", "\u202e", "history", "%1", "!!", "^a^b"),
)
TEXT = st.lists(st.tuples(st.sampled_from(_SOUP), st.sampled_from(["", " ", " ", " "])), min_size=1, max_size=14).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)
#: Text that is likely to be understood: whole commands put together by what puts commands together.
_WHOLE = st.sampled_from(
    [*HARMLESS, "rm -rf x", "rm y", "ls 2>/dev/null --x", "cat <<'E'\nrm y\nE\n", "ls '; rm y'", 'ls "a b"']
)
SCRIPT = st.recursive(
    _WHOLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" && ", " || ", "; ", "\n", " | ", " & ", " |& ", "\n\n"]), inner).map(
            "".join
        ),
        st.tuples(st.sampled_from(CONTEXTS), inner).map(lambda pair: pair[0].format(pair[1])),
    ),
    max_leaves=5,
)
_KEYWORDS = frozenset(
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "time", "coproc", "("]
)


def bash(*words: str, text: str) -> subprocess.CompletedProcess[str]:
    """What bash's own parser says. It reads and runs nothing: `-n` and `--pretty-print` both stop before that."""
    assert _BASH is not None
    return subprocess.run(
        [_BASH, "--norc", "--noprofile", *words, "-n", "/dev/stdin"],
        input=text, capture_output=True, text=True, timeout=20, env={"LC_ALL": "C.UTF-8", "PATH": ""}, check=False,
    )  # fmt: skip


def programs(text: str) -> set[str]:
    """The programs in a text as bash writes it down again, one command to a line or between plain operators."""
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=";&|()<>")
    lexer.commenters = ""
    lexer.whitespace_split = True
    found: set[str] = set()
    begins, skip = True, False
    for token in lexer:
        if skip:
            skip = token in ("for", "case")
        elif re.fullmatch(r"[<>&|]*[<>][<>&|]*", token):
            skip = True
        elif re.fullmatch(r"[;&|()]+", token):
            begins = True
        elif begins and token in _KEYWORDS:
            continue
        elif begins and token in ("for", "case"):
            begins = False
        elif begins and not re.match(r"\w+=|\d+$", token):
            found.add(token)
            begins = False
    return found


def read(text: str) -> bool:
    try:
        expand(parse(text))
    except NotUnderstood:
        return False
    return True


@tried(400)
@given(st.one_of(TEXT, SCRIPT))
def test_what_we_understand_is_valid_for_bash(text: str) -> None:
    assume(read(text))
    checked = bash(text=text)
    assert (checked.returncode, checked.stderr) == (0, ""), text


@tried(400)
@given(st.one_of(TEXT, SCRIPT))
def test_what_is_allowed_runs_no_program_that_is_not(text: str) -> None:
    assume(POLICY.judge_text(text).allowed and "<<" not in text and "case" not in text)
    printed = bash("--pretty-print", text=text)
    assert printed.returncode == 0, text
    allowed = {rule.split()[0] for rule in POLICY.allowed}
    assert programs(printed.stdout) <= allowed, text


@tried(600)
@given(st.sampled_from(DENIED), st.lists(st.sampled_from(CONTEXTS), max_size=3), st.sampled_from(["{}", *WRAPPERS]))
def test_no_context_makes_an_allowed_command_of_a_denied_one(denied: str, contexts: list[str], wrapper: str) -> None:
    text = wrapper.format(denied)
    for context in contexts:
        text = context.format(text)
    assert not POLICY.judge_text(text).allowed, text


@tried(300)
@given(st.sampled_from(DENIED), st.randoms(use_true_random=False))
def test_no_spelling_of_the_blanks_and_quotes_makes_an_allowed_command_of_a_denied_one(
    denied: str, dice: object
) -> None:
    """Blanks are doubled, words are quoted, and options are put in other places."""
    import random

    assert isinstance(dice, random.Random)
    words = denied.split(" ")
    for at, word in enumerate(words):
        if re.fullmatch(r"[\w./=-]+", word) and "=" not in word:
            words[at] = dice.choice([word, word, f"'{word}'", f'"{word}"', f"{word[:1]}''{word[1:]}", f"\\{word}"])
    text = dice.choice([" ", "  ", "\t", " \\\n "]).join(words)
    assert not POLICY.judge_text(text).allowed, text


@pytest.mark.parametrize("denied", DENIED)
def test_each_denied_command_is_denied_by_itself(denied: str) -> None:
    assert not POLICY.judge_text(denied).allowed


def test_what_is_harmless_mostly_stays_so_where_it_stands() -> None:
    """What we do not read we refuse, so some contexts cost something; not many may."""
    texts = [context.format(harmless) for harmless in HARMLESS for context in CONTEXTS]
    refused = [text for text in texts if not POLICY.judge_text(text).allowed]
    assert len(refused) <= 0.03 * len(texts), refused
