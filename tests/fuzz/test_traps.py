"""Texts that tree-sitter reads wrongly without saying so: valid for bash, a command lost or in the wrong place."""

from __future__ import annotations

import pytest

from interlock.governance.commands import CommandPolicy

#: Everything in these texts but what is hidden is allowed: whoever misses that would allow it.
POLICY = CommandPolicy(allowed=["ls", "cat", "git status", "git log", "ps", "psql", "time", "echo"])

TRAPS = {
    "backticks in backticks": "echo `echo \\`rm -rf x\\``",
    "backticks in a default": "echo ${x:=`rm -rf x`}",
    "a substitution in a default": "echo ${x:=$(rm -rf x)}",
    "a substitution in a prefix to cut": "echo ${x#$(rm -rf x)}",
    "backticks in a suffix to cut": "echo ${x%%`rm -rf x`}",
    "backticks in a here-document": "cat <<E\n`rm -rf x`\nE",
    "a substitution in a here-document": "cat <<E\n$(rm -rf x)\nE",
    "a substitution at the start of an indented here-document": "cat <<-E\n\t$(rm -rf x)\n\tE",
    "a line end inside of a word": "ps\\\nql -c 'drop table x'",
    "a line end inside of an option": "git log --out\\\nput=x",
    "a line that begins with a backslash": "git status\n\\rm -rf x",
    "a line that begins with a quoted program": "git status\n'rm' -rf x",
    "a carriage return as a blank": "ls\rrm -rf x",
    "a carriage return before a line end": "ls \r\nrm -rf x",
    "words behind a redirection": "git log 2>/dev/null --output=/etc/cron.d/x",
    "words behind two redirections": "git log 2>/dev/null </dev/null --output=/etc/cron.d/x",
    "words before and behind a redirection": "git 2>/dev/null log --output=/etc/cron.d/x",
    "a redirection before the program": "2>/dev/null git log --output=/etc/cron.d/x",
    "a program behind a redirection": "</dev/null rm -rf x",
    "time before a program": "time rm -rf x",
    "time before a group": "time { rm -rf x; }",
    "time before a test": "time [[ -v 'a[$(rm -rf x)]' ]]",
    "coproc before a program": "coproc rm -rf x",
    "a named coproc": "coproc N { rm -rf x; }",
    "an arithmetic command": "((a[$(rm -rf x)]))",
    "an arithmetic loop": "for ((i=0;i<$(rm -rf x);i++)); do ls; done",
    "a test of a variable": "[[ -v 'a[$(rm -rf x)]' ]]",
    "a function called like a program": "ls() { rm -rf x; }\nls",
    "an alias": "alias ls='rm -rf x'\nls",
    "a here-document whose end hides a command": "cat <<'E' ; rm -rf x\nE",
    "a second here-document": "cat <<'A' <<'B'\nA\n$(ls)\nB\nrm -rf x",
    "an end of a here-document with a blank": "cat <<'E'\nE \nE\nrm -rf x",
    "a comment that ends": "ls # a \\\nrm -rf x",
    "a hash inside of a word": "ls a#b; rm -rf x",
    "a process substitution": "cat <(rm -rf x)",
    "an array": "a=($(rm -rf x)) ls",
    "an extended pattern": "ls !(a|$(rm -rf x))",
    "a case with no bracket": "case $(rm -rf x) in *) ls;; esac",
}


@pytest.mark.parametrize("text", TRAPS.values(), ids=TRAPS)
def test_what_a_parser_misses_is_not_allowed(text: str) -> None:
    assert not POLICY.judge_text(text).allowed


@pytest.mark.parametrize("text", ["git log 2>/dev/null -p", "2>/dev/null git log", "ls\n\nls", "cat <<'E'\n$(rm x)\nE"])
def test_what_only_looks_like_a_trap_is_allowed(text: str) -> None:
    assert POLICY.judge_text(text).allowed
