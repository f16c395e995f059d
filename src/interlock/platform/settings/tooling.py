"""The sections of the settings about the tools that come with Interlock: the code interpreter and the web search."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from interlock.platform.settings.recording import Days

Seconds = Annotated[float, Meta(gt=0, le=10**9, description="a number of seconds greater than 0")]
Results = Annotated[int, Meta(ge=1, le=20, description="a whole number from 1 to 20")]
Uses = Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")]
Where = Literal["auto", "native", "local"]
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
        retention_days: The scratch folder of a run goes so long after the run has ended.
        where: Where code of a plan's step is run: here, at the provider of the step's agent, or there where it can be.
        native_uses: How often a model may run code at its provider in one request, as far as that can be bounded.
        native_price: US dollars a provider bills for one place to run code in; None for what is known about it.
    """

    timeout: Seconds = 60.0
    workspace: Literal["none", "read"] = "none"
    retention_days: Days = 30
    where: Where = "auto"
    native_uses: Uses = 3
    native_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSearchSettings:
    """`[web_search]`: who searches the web for agents; nobody does where this is not set.

    Args:
        url: The search page of a SearXNG, or of anything that answers as SearXNG does.
        key_env: The environment variable that holds its key, sent as bearer token; None where it needs none.
        limit: Results where a call does not say how many.
        timeout: Seconds one search may take.
        where: Who searches for a plan's step: this, the provider of the step's agent, or the latter where it can.
        native_uses: How often a model may search at its provider in one request.
        native_price: US dollars a provider bills for one search; None for what the price table says.
    """

    url: Address | None = None
    key_env: Variable | None = None
    limit: Results = 5
    timeout: Seconds = 20.0
    where: Where = "auto"
    native_uses: Uses = 3
    native_price: Decimal | None = None
