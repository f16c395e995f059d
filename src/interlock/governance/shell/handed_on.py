"""What `npm test -- ...` may hand on to a test runner nobody has a table for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interlock.governance.shell.expand import Pattern
from interlock.governance.shell.paths import why_not_inside

#: Options by which runners load code, open doors, delete or upload, in the spellings of jest, vitest, mocha, ava, tap.
_REFUSED = re.compile(
    r"-r|-e|-p|--(?:experimental-)?(?:require|import|loader|eval|exec|print|plugins?|node-?options?|node-arguments"
    r"|script-?shell|v8-?flags|inspect(?:-\w+)?|global-?setup|global-?teardown|setup-?files(?:-?after-?env)?|test-?runner|runner"
    r"|transform|resolver|module-?name-?mapper|module-?loader|haste|watch-?plugins|prettier-?path|dependency-?extractor"
    r"|snapshot-?resolver|test-?results-?processor|test-?sequencer|coverage-?provider-?module|browser\w*|preset|ui|api|host"
    r"|open|clear-?cache|upload|publish|token|registry|file-?list|delegate)",
    re.I,
)
#: Options that may be given only one of these, since anything else would be loaded as code.
_BUILT_IN = re.compile(r"--(?:reporters?|test-?environment|environment|env)", re.I)
_BUILT_IN_VALUES = re.compile(
    r"dot|spec|min|nyan|list|progress|json|json-stream|tap|tap-flat|default|verbose|basic|junit|landing|doc|markdown"
    r"|github-actions|hanging-process|summary|line|text|node|jsdom|happy-dom|edge-runtime|xunit|html|blob"
)
#: Options whose value is only compared with the names of tests.
_PATTERN = re.compile(r"-t|-g|-f|-m|--test-?name-?pattern|--grep|--fgrep|--match|--filter", re.I)
_URL = re.compile(r"\w+://", re.ASCII)
#: Where in a word a path may begin.
_PATH_STARTS = re.compile(r"[=,:]")


def why_not_hand_on(words: Sequence[str], *, cwd: str = "") -> str:
    """Why these words may not be handed to a test runner; "" where they may.

    The runner and the workspace's code run anyway; words must not make it load or write anything elsewhere.
    """
    before = ""
    for word in words:
        name, _, value = word.partition("=")
        if isinstance(word, Pattern):
            return f"`{word}` is a pattern, and what it becomes is not known"
        if word.startswith("-"):
            if _REFUSED.fullmatch(name):
                return f"`{name}` could make the test runner load code or reach outside"
            if _BUILT_IN.fullmatch(name) and value and not _BUILT_IN_VALUES.fullmatch(value):
                return f"`{word}` could make the test runner load code"
        elif _BUILT_IN.fullmatch(before) and not _BUILT_IN_VALUES.fullmatch(word):
            return f"`{word}` could make the test runner load code"
        if not _PATTERN.fullmatch(before) and not _PATTERN.fullmatch(name) and (reason := _reaches_out(word, cwd)):
            return reason
        before = word
    return ""


def _reaches_out(word: str, cwd: str) -> str:
    if _URL.search(word):
        return f"`{word}` names another machine"
    # `-c/tmp/x`: a path may also follow a short option at once.
    parts = [*_PATH_STARTS.split(word), word[2:] if re.match(r"-\w[/~.]", word) else ""]
    return next((reason for part in parts if part and (reason := why_not_inside(part, cwd=cwd))), "")
