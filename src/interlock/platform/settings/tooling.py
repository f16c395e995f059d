"""The sections of the settings about the tools that come with Interlock: the code interpreter and the web search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=10**9, description="a number of seconds greater than 0")]
Results = Annotated[int, Meta(ge=1, le=20, description="a whole number from 1 to 20")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of an environment variable")]
Address = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#@]+([/?#]\S*)?$",
        description="an http:// or https:// address without a user name or password",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeInterpreterSettings:
    """`[code_interpreter]`: the tool that runs Python code; the walls around it are those of `[sandbox]`.

    Args:
        timeout: Seconds one piece of code may take.
        workspace: Whether code may read the workspace, or sees only its own scratch folder.
    """

    timeout: Seconds = 60.0
    workspace: Literal["none", "read"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSearchSettings:
    """`[web_search]`: who searches the web for agents; nobody does where this is not set.

    Args:
        url: The search page of a SearXNG, or of anything that answers as SearXNG does.
        key_env: The environment variable that holds its key, sent as bearer token; None where it needs none.
        limit: Results where a call does not say how many.
        timeout: Seconds one search may take.
    """

    url: Address | None = None
    key_env: Variable | None = None
    limit: Results = 5
    timeout: Seconds = 20.0
