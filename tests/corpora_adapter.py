"""What `score.py` of the corpora asks: one question about any text, answered by the real engines."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

# The scorer puts this directory first on the path, where `platform` and others are our tests, not the standard library.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from interlock.governance.commands import CommandPolicy  # noqa: E402

#: The reference policy of the corpora.
POLICY = CommandPolicy(
    allowed=[
        *("ls", "cat", "grep", "ps", "top", "df", "git status", "git log", "git diff"),
        *("npm test", "pytest", "docker ps"),
    ],
    forbidden=["rm -rf", "sudo", "chmod 777", "DROP TABLE", "DELETE FROM", "curl | bash", "wget | bash"],
    require_approval=["git push", "npm publish", "kubectl apply", "terraform apply", "systemctl restart"],
)


def check(kind: str, text: str, dialect: str | None = None) -> str:
    """What becomes of a text: allow, approval or block.

    Args:
        kind: "bash" for shell text, "sql" for a statement, "text" for a task's description.
        text: The text.
        dialect: The database, for statements.
    """
    if kind == "bash":
        return POLICY.judge_text(text).effect.word
    if kind == "sql":
        from interlock.governance.sqltext import judge_sql

        return str(judge_sql(text, dialect).effect.word)
    from interlock.governance.validation import judge_input
    from interlock.governance.wording import asks_to_destroy
    from interlock.records.verdict import Act

    if asks_to_destroy(text):
        return "approval"
    found = judge_input(Act(kind="task", name="task", content=text))
    return found.effect.word if found else "allow"


def check_with_policy(policy: dict[str, list[str]], kind: str, text: str) -> str:
    """What becomes of shell text under a policy of its own."""
    if kind != "bash":
        raise ValueError(f"there is no policy for {kind}")
    allowed, forbidden, ask = (tuple(policy.get(name, ())) for name in ("allowed", "forbidden", "require_approval"))
    return _policy(allowed, forbidden, ask).judge_text(text).effect.word


def redact(text: str) -> str:
    """A text without the secrets and personal details in it."""
    from interlock.governance.redaction import redact as engine

    return str(engine(text))


@lru_cache(maxsize=64)
def _policy(allowed: tuple[str, ...], forbidden: tuple[str, ...], require_approval: tuple[str, ...]) -> CommandPolicy:
    return CommandPolicy(allowed, forbidden, require_approval)
