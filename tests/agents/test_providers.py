"""Making providers from settings, without importing anything before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interlock.agents.anthropic_messages import AnthropicMessages
from interlock.agents.openai_chat import OpenAIChat
from interlock.agents.openai_responses import OpenAIResponses
from interlock.agents.provider import Provider, ProviderSettings
from interlock.agents.providers import make_provider
from interlock.errors import SettingsError


def python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("api", "kind"),
    [("openai-chat", OpenAIChat), ("openai-responses", OpenAIResponses), ("anthropic", AnthropicMessages)],
)
def test_each_api_has_its_provider(api: str, kind: type) -> None:
    one: Provider = make_provider(ProviderSettings(name="x", api=api))  # type: ignore[arg-type]
    assert type(one) is kind
    assert one.name == "x"


def test_an_unknown_api_names_those_that_are_known() -> None:
    with pytest.raises(SettingsError, match="openai-chat") as caught:
        make_provider(ProviderSettings(name="x", api="smoke-signs"))  # type: ignore[arg-type]
    assert caught.value.code == "settings.api"


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://a/b", "http://", "http://a:99999999/", " http://a", "//a"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_provider(ProviderSettings(name="x", api="openai-chat", base_url=url))
    assert caught.value.code == "settings.base_url"


@pytest.mark.parametrize("missing", ["aiohttp", "SDK"])
@pytest.mark.parametrize(
    ("api", "extra"), [("openai-chat", "openai"), ("openai-responses", "openai"), ("anthropic", "anthropic")]
)
def test_a_missing_sdk_is_named_with_the_command_that_installs_it(api: str, extra: str, missing: str) -> None:
    said = python(
        f"import sys; sys.modules[{(missing if missing == 'aiohttp' else extra)!r}] = None\n"
        "from interlock.agents.providers import make_provider\n"
        "from interlock.agents.provider import ProviderSettings\n"
        "from interlock.errors import SettingsError\n"
        f"try: make_provider(ProviderSettings(name='x', api={api!r}))\n"
        "except SettingsError as error: print(error.code, error.do)"
    )
    assert said == f"settings.missing_extra Run: pip install 'interlock[{extra}]'"


def test_making_providers_and_asking_the_price_list_imports_no_sdk() -> None:
    loaded = python(
        "import sys\n"
        "from interlock.agents import prices\n"
        "from interlock.agents.provider import ProviderSettings\n"
        "from interlock.agents.providers import make_provider\n"
        "for api in ('openai-chat', 'openai-responses', 'anthropic'):\n"
        "    make_provider(ProviderSettings(name='x', api=api, api_key='k'))\n"
        "prices.PriceTable().version\n"
        "print(sorted({'openai', 'anthropic', 'aiohttp', 'httpx2', 'genai_prices', 'pydantic'} & set(sys.modules)))"
    )
    assert loaded == "[]"
