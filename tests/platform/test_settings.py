"""Settings: the order of the layers, where each value comes from, and every mistake that stops the start."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import SettingsError
from interlock.platform.settings import Settings, load, settings_from_configure

SECRET = "sk-ant-api03-do-not-show-me"


@pytest.fixture(autouse=True)
def _no_user_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def read(folder: Path, toml: str = "", environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    if toml:
        (folder / "interlock.toml").write_text(toml)
    return load(environ=environ or {}, cwd=folder, **arguments)


def refused(folder: Path, toml: str = "", environ: dict[str, str] | None = None, **arguments: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(folder, toml, environ, **arguments)
    return caught.value


def origin_of(settings: Settings, key: str) -> str:
    return {name: origin for name, _, origin in settings.entries()}[key]


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings.home == tmp_path / ".interlock"
    assert settings.workspace == tmp_path
    assert settings.routing.default == "openai"
    assert settings.agents["openai"].provider == "openai"
    assert settings.agents["claude"].provider == "anthropic"
    assert settings.commands.allowed is None
    assert settings.limits.max_runs == 256
    assert settings.file is None
    assert dict(settings.keys) == {}
    assert set(settings.origins.values()) == {"default"}


def test_each_layer_wins_over_the_one_before_it(tmp_path: Path) -> None:
    toml = "[limits]\nmax_runs = 2\nmax_turns = 2\nmax_model_calls = 2\nshutdown_grace = 2\n"
    toml += "[profile.prod.limits]\nmax_runs = 3\nmax_turns = 3\nmax_model_calls = 3\n"
    environ = {"INTERLOCK_LIMITS__MAX_RUNS": "4", "INTERLOCK_LIMITS__MAX_TURNS": "4", "INTERLOCK_PROFILE": "prod"}
    settings = read(tmp_path, toml, environ, overrides={"limits.max_runs": 5})
    assert settings.profile == "prod"
    assert settings.limits.max_runs == 5
    assert settings.limits.max_turns == 4
    assert settings.limits.max_model_calls == 3
    assert settings.limits.shutdown_grace == 2
    assert origin_of(settings, "limits.max_runs") == "argument"
    assert origin_of(settings, "limits.max_turns") == "env INTERLOCK_LIMITS__MAX_TURNS"
    assert origin_of(settings, "limits.max_model_calls") == "profile.prod (interlock.toml:9)"
    assert origin_of(settings, "limits.shutdown_grace") == "interlock.toml:5"
    assert origin_of(settings, "limits.model_timeout") == "default"


def test_a_profile_named_by_argument_wins_over_the_variable(tmp_path: Path) -> None:
    toml = "[profile.a.log]\nlevel = 'info'\n[profile.b.log]\nlevel = 'error'\n"
    assert read(tmp_path, toml, {"INTERLOCK_PROFILE": "a"}, profile="b").log.level == "error"


def test_home_is_argument_then_variable_then_file_then_the_current_folder(tmp_path: Path) -> None:
    environ = {"INTERLOCK_HOME": "from-variable"}
    assert read(tmp_path, "home = 'from-file'\n").home == tmp_path / "from-file"
    assert read(tmp_path, "", environ).home == tmp_path / "from-variable"
    assert read(tmp_path, "", environ, home=tmp_path / "told").home == tmp_path / "told"


def test_a_path_in_a_file_starts_from_the_file_and_one_from_outside_starts_here(tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text("home = 'data'\nworkspace = '~'\n")
    below = tmp_path / "one" / "two"
    below.mkdir(parents=True)
    assert read(below).home == tmp_path / "data"
    assert read(below).workspace == Path.home()
    assert read(below, "", {"INTERLOCK_HOME": "data"}).home == below / "data"


def test_an_empty_variable_says_nothing_except_for_a_list(tmp_path: Path) -> None:
    toml = "[limits]\nmax_runs = 2\n[commands]\nallowed = ['ls']\n"
    environ = {"INTERLOCK_LIMITS__MAX_RUNS": " ", "INTERLOCK_COMMANDS__ALLOWED": "", "INTERLOCK_PROFILE": ""}
    settings = read(tmp_path, toml, environ)
    assert settings.limits.max_runs == 2
    assert settings.commands.allowed == ()


def test_a_list_in_a_variable_is_separated_by_commas_or_json(tmp_path: Path) -> None:
    assert read(tmp_path, "", {"INTERLOCK_COMMANDS__ALLOWED": "ls, df -h ,"}).commands.allowed == ("ls", "df -h")
    assert read(tmp_path, "", {"INTERLOCK_COMMANDS__ALLOWED": '["a, b"]'}).commands.allowed == ("a, b",)


def test_a_limit_can_be_taken_away_with_none(tmp_path: Path) -> None:
    assert read(tmp_path, "[limits]\nrun_timeout = 'none'\n").limits.run_timeout is None
    assert read(tmp_path, "", {"INTERLOCK_LIMITS__TOOL_TIMEOUT": "None"}).limits.tool_timeout is None


def test_a_local_model_can_be_an_agent(tmp_path: Path) -> None:
    toml = "[providers.ollama]\nbase_url = 'http://127.0.0.1:11434/v1'\n"
    toml += "[agents.local]\nprovider = 'ollama'\nmodel = 'qwen'\ntools = ['files']\n"
    settings = read(tmp_path, toml, {"INTERLOCK_AGENTS__LOCAL__MAX_TURNS": "3"})
    assert settings.agents["local"].tools == ("files",)
    assert settings.agents["local"].max_turns == 3
    assert settings.provider("ollama").api == "openai-chat"
    assert settings.has_key("local")
    assert not settings.has_key("openai")
    assert set(settings.agents) == {"openai", "claude", "local"}


def test_a_built_in_agent_can_be_changed_in_part(tmp_path: Path) -> None:
    settings = read(tmp_path, "[agents.claude]\nmodel = 'claude-haiku'\n")
    assert settings.agents["claude"].model == "claude-haiku"
    assert settings.agents["claude"].provider == "anthropic"


def test_a_variable_finds_a_name_with_dashes_and_dots(tmp_path: Path) -> None:
    toml = "[prices.'gpt-6.1-sol']\ninput = 0.1\noutput = 2\n"
    settings = read(tmp_path, toml, {"INTERLOCK_PRICES__GPT_6_1_SOL__OUTPUT": "3.25"})
    price = settings.prices["gpt-6.1-sol"]
    assert (str(price.input), str(price.output)) == ("0.1", "3.25")
    assert origin_of(settings, 'prices."gpt-6.1-sol".input') == "interlock.toml:2"


def test_the_vendors_own_address_variables_are_read(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "ANTHROPIC_BASE_URL": " "}
    settings = read(tmp_path, "", environ)
    assert settings.provider("openai").base_url == "http://127.0.0.1:1/v1"
    assert settings.provider("anthropic").base_url is None
    assert origin_of(settings, "providers.openai.base_url") == "env OPENAI_BASE_URL"
    environ["INTERLOCK_PROVIDERS__OPENAI__BASE_URL"] = "http://127.0.0.1:2/v1"
    assert read(tmp_path, "", environ).provider("openai").base_url == "http://127.0.0.1:2/v1"


# --- Mistakes -----------------------------------------------------------------------------------------------------


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    toml = "[limits]\nmax_rnus = 2\nmax_turns = 'many'\n[profile.prod.log]\nlevel = 'loud'\n"
    environ = {"INTERLOCK_LIMITS__MAX_RUNS": "abc", "INTERLOCK_STOER": "1"}
    error = refused(tmp_path, toml, environ, overrides={"retry": {"attempts": 0}})
    assert error.exit_code == 2
    assert error.says.splitlines() == [
        "6 settings are wrong:",
        "  interlock.toml:2 unknown key limits.max_rnus (did you mean max_runs?)",
        "  interlock.toml:3 limits.max_turns must be a whole number, not 'many'",
        "  interlock.toml:5 log.level must be one of debug, info, warning, error, critical, not 'loud'",
        "  INTERLOCK_LIMITS__MAX_RUNS must be a whole number, not 'abc'",
        "  INTERLOCK_STOER is no setting (did you mean INTERLOCK_HOME?)",
        "  Argument: retry.attempts must be a whole number from 1 to 1,000,000, not 0",
    ]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("limits = 3", "interlock.toml:1 limits must be a table, not 3"),
        ("[limits]\nmax_runs = true", "interlock.toml:2 limits.max_runs must be a whole number, not True"),
        (
            "[limits]\nrun_timeout = inf",
            "interlock.toml:2 limits.run_timeout must be a number of seconds greater than 0, not inf",
        ),
        ("[commands]\nallowed = 'ls'", "interlock.toml:2 commands.allowed must be a list of texts, not 'ls'"),
        ("[routing]\nsubstitute = 'yes'", "interlock.toml:2 routing.substitute must be true or false, not 'yes'"),
        ("[agents.claude]\nmodel = ' '", "interlock.toml:2 agents.claude.model must be a text that is not empty"),
        ("home = ''", "interlock.toml:1 home must be a path, not ''"),
        ("[agents.x]\nmodel = 'm'", "interlock.toml:2: agents.x.provider is missing"),
        ("[agents.hybrid]\nmodel = 'm'\nprovider='openai'", "agents.hybrid is no name an agent can have"),
        ("[providers.x]\napi = 'openai-chat'", "providers.x needs a base_url or a key_env"),
        ("[providers.x]\nbase_url = 'ftp://x'", "interlock.toml:2 providers.x.base_url must be an http:// or https://"),
        ("[prices.m]\ninput = -1\noutput = 1", "interlock.toml:2 prices.m.input must be an amount of US dollars"),
        (
            "[prices.gpt-6.1]\ninput = 1",
            "interlock.toml:1 unknown key prices.gpt-6.1 (a name with dots needs quotes)",
        ),
        (
            "[agents.x]\nmodel='m'\nprovider='opnai'",
            "interlock.toml:3: agents.x names the provider 'opnai', which is not there (did you mean openai?)",
        ),
        ("[[agents]]\nx = 1", "interlock.toml:1 agents must be a table, not a list of lists or tables"),
        ("[budgets.daily]", "interlock.toml:1: budgets.daily.limit is missing"),
        ("[roles.x]\ndeny = ['run']", "interlock.toml:2: roles.x.deny is wrong: 'run' is no permission"),
        ("[roles.x]\ndeny = ['tools:*']", "interlock.toml:2: roles.x.deny is wrong: 'tools:*' is about nothing"),
        ("[agents.claude]\npermissions = ['tool: x']", "agents.claude.permissions is wrong: 'tool: x' is no"),
        ("[users.'']", 'interlock.toml:1: users."" is no name a user can have'),
        ("profile = 3", "interlock.toml:1 profile must hold tables like [profile.prod]"),
    ],
)
def test_a_wrong_file_names_the_line_and_what_would_be_right(tmp_path: Path, toml: str, says: str) -> None:
    assert says in refused(tmp_path, toml).says


def test_an_empty_table_of_a_name_is_an_entry_with_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, "[users.ann]\n[users.bob]\ntier = 'pro'\n")
    assert {name: (user.roles, user.tier) for name, user in settings.users.items()} == {
        "ann": ((), "free"),
        "bob": ((), "pro"),
    }
    assert set(read(tmp_path, overrides={"users": {"cat": {}}}).users) == {"ann", "bob", "cat"}


def test_permissions_as_the_documents_write_them_are_right(tmp_path: Path) -> None:
    allow = ["*", "run:*:own", "tool:use:files_*", "*:read", "agent:use:cl*"]
    assert read(tmp_path, f"[roles.x]\nallow = {allow}").roles["x"].allow == tuple(allow)


def test_a_variable_that_nobody_knows_stops_the_start(tmp_path: Path) -> None:
    error = refused(tmp_path, "", {"INTERLOCK_LIMITS__MAX_RUN": "3"})
    assert error.code == "settings.unknown_variable"
    assert error.says == "INTERLOCK_LIMITS__MAX_RUN is no setting (did you mean INTERLOCK_LIMITS__MAX_RUNS?)."
    error = refused(tmp_path, "", {"INTERLOCK_OPENAI_API_KEY": SECRET})
    assert "did you mean OPENAI_API_KEY?" in error.says
    assert SECRET not in repr(error) + error.user_message


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "INTERLOCK_CRASH": "all",
        "INTERLOCK_SERVICE_HOST": "10.0.0.1",
        "INTERLOCK_PORT_80_TCP_ADDR": "10.0.0.1",
        "INTERLOCKED": "x",
    }
    assert read(tmp_path, "", environ) == read(tmp_path)


def test_a_profile_that_nobody_wrote_stops_the_start(tmp_path: Path) -> None:
    assert refused(tmp_path, profile="live").code == "settings.profile"
    assert "it has dev" in refused(tmp_path, "[profile.dev]\n", profile="live").says


def test_the_usual_profiles_need_no_table(tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text("")
    for name in ("production", "staging", "dev"):
        assert load(profile=name, cwd=tmp_path, environ={}).profile == name


def test_a_vendors_address_with_a_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, "", {"OPENAI_BASE_URL": "https://me:hunter2@proxy/v1"})
    assert error.says.startswith("OPENAI_BASE_URL must be an http:// or https:// address")
    assert "hunter2" not in error.says


# --- Keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "toml",
    [
        f"[providers.anthropic]\napi_key = '{SECRET}'",
        "[providers.anthropic]\nextra = { apiKey = 'hello' }",
        f"[agents.claude]\nmodel = '{SECRET}'",
        f"[agents.claude]\ninstructions = 'use {SECRET}-0123456789'",
        f"[profile.x.providers.anthropic]\nkey_env = '{SECRET}'",
        f"[commands]\nallowed = ['ls', '{SECRET}']",
        f"anthropic_token = '{SECRET}'",
        f"'{SECRET}' = '{SECRET}'",
    ],
)
def test_a_secret_in_the_file_stops_the_start_without_being_shown(tmp_path: Path, toml: str) -> None:
    error = refused(tmp_path, toml)
    assert error.code == "settings.secret_in_file"
    assert "interlock.toml:" in error.says
    assert "ANTHROPIC_API_KEY" in error.do
    assert SECRET not in repr(error) + error.user_message + error.detail


def test_words_that_only_resemble_secrets_are_no_secrets(tmp_path: Path) -> None:
    toml = "[agents.claude]\nmax_output_tokens = 100\ninstructions = 'use sk-learn and a risk-assessment'\n"
    toml += "[providers.x]\nkey_env = 'X_API_KEY'\n"
    assert read(tmp_path, toml).agents["claude"].max_output_tokens == 100


def test_a_key_comes_from_argument_then_variable_then_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    environ = {"OPENAI_API_KEY_FILE": "key"}
    assert read(tmp_path, "", environ).keys["openai"] == "from-file"
    assert origin_of(read(tmp_path, "", environ), "keys.openai") == "env OPENAI_API_KEY_FILE"
    environ["OPENAI_API_KEY"] = "from-variable"
    assert read(tmp_path, "", environ).keys["openai"] == "from-variable"
    assert read(tmp_path, "", environ, keys={"openai": "told"}).provider("openai").api_key == "told"


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    environ = {"OPENAI_API_KEY": "  ", "ANTHROPIC_API_KEY_FILE": "empty"}
    settings = read(tmp_path, "", environ, keys={"openai": " ", "anthropic": None})
    assert dict(settings.keys) == {}
    assert not settings.has_key("openai")


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a-folder").mkdir()
    error = refused(
        tmp_path, "", {"OPENAI_API_KEY": "my key\nX-Evil: 1", "ANTHROPIC_API_KEY_FILE": "a-folder"}, keys={"x": "y"}
    )
    assert "OPENAI_API_KEY is no usable key" in error.says
    assert "ANTHROPIC_API_KEY_FILE names a file that cannot be read" in error.says
    assert "no provider 'x'" in error.says
    assert "Evil" not in error.says


ELSEWHERE = "[providers.openai]\nbase_url = 'https://gateway.example/v1'\n"


@pytest.mark.parametrize(
    "address",
    [
        "https://gateway.example/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com.evil.example/v1",
        "https://evil-api.openai.com.example",
        "https://xapi.openai.com/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost.evil.example",
        "http://[::1].evil.example/v1",
    ],
)
def test_the_key_in_the_environment_does_not_go_where_a_file_sends_it(tmp_path: Path, address: str) -> None:
    settings = read(tmp_path, f"[providers.openai]\nbase_url = '{address}'\n", {"OPENAI_API_KEY": SECRET})
    assert settings.provider("openai").base_url == address
    assert settings.provider("openai").api_key is None
    assert not settings.has_key("openai")
    why = "interlock.toml:2 sends openai to another address; name key_env there to use the key"
    assert ("keys.openai", "not used", why) in settings.entries()
    assert settings.as_dict()["keys"]["openai"] == "not used"
    assert "interlock.toml:2 sends openai to another address" in settings.lacks("openai")[0]


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com/v1",
        "https://eu.api.openai.com/v1",
        "http://127.0.0.1:8080/v1",
        "http://localhost/v1",
        "http://[::1]:1",
    ],
)
def test_the_vendors_own_address_and_this_machine_are_no_other_address(tmp_path: Path, address: str) -> None:
    settings = read(tmp_path, f"[providers.openai]\nbase_url = '{address}'\n", {"OPENAI_API_KEY": SECRET})
    assert settings.has_key("openai")


def test_a_file_that_names_the_key_as_well_gets_it(tmp_path: Path) -> None:
    settings = read(tmp_path, ELSEWHERE + "key_env = 'OPENAI_API_KEY'\n", {"OPENAI_API_KEY": SECRET})
    assert settings.keys["openai"] == SECRET
    assert dict(settings.withheld) == {}


def test_a_profile_of_the_file_is_the_file(tmp_path: Path) -> None:
    toml = ELSEWHERE.replace("[providers", "[profile.prod.providers")
    assert not read(tmp_path, toml, {"OPENAI_API_KEY": SECRET}, profile="prod").has_key("openai")
    assert read(tmp_path, toml, {"OPENAI_API_KEY": SECRET}).has_key("openai"), "the profile is not chosen"


def test_naming_the_key_in_the_environment_does_not_send_it_where_a_file_wants(tmp_path: Path) -> None:
    environ = {"MY_KEY": SECRET, "INTERLOCK_PROVIDERS__OPENAI__KEY_ENV": "MY_KEY"}
    assert not read(tmp_path, ELSEWHERE, environ).has_key("openai")


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "INTERLOCK_PROVIDERS__OPENAI__BASE_URL"])
def test_whoever_starts_interlock_may_send_the_key_where_they_want(tmp_path: Path, variable: str) -> None:
    environ = {"OPENAI_API_KEY": SECRET, variable: "https://mine.example/v1"}
    assert read(tmp_path, ELSEWHERE, environ).keys["openai"] == SECRET
    there = {"providers": {"openai": {"base_url": "https://mine.example/v1"}}}
    assert read(tmp_path, ELSEWHERE, {"OPENAI_API_KEY": SECRET}, overrides=there).keys["openai"] == SECRET
    assert read(tmp_path, ELSEWHERE, {}, keys={"openai": SECRET}).keys["openai"] == SECRET


def test_without_any_key_none_is_withheld(tmp_path: Path) -> None:
    settings = read(tmp_path, ELSEWHERE)
    assert dict(settings.withheld) == {}
    assert settings.lacks("openai") == ("openai has no key.", "Set OPENAI_API_KEY.")


def test_keys_are_never_shown_copied_out_or_pickled(tmp_path: Path) -> None:
    settings = read(tmp_path, "", {"ANTHROPIC_API_KEY": SECRET})
    told = [repr(settings), str(settings.keys), str(settings.as_dict()), str(settings.entries())]
    told += [repr(settings.provider("anthropic")), repr(copy.deepcopy(settings.keys)), str(vars(type(settings.keys)))]
    assert SECRET not in "".join(told)
    assert settings.as_dict()["keys"] == {"openai": "not set", "anthropic": "set"}
    with pytest.raises(TypeError):
        pickle.dumps(settings.keys)


# --- configure ----------------------------------------------------------------------------------------------------


def test_configure_understands_the_guides_names(tmp_path: Path) -> None:
    given = settings_from_configure(
        storage_path=tmp_path / "s", log_level="WARNING", openai_api_key="k", limits__max_runs=3, profile=None
    )
    settings = load(environ={}, cwd=tmp_path, **given)
    assert settings.home == tmp_path / "s"
    assert settings.log.level == "warning"
    assert settings.keys["openai"] == "k"
    assert settings.limits.max_runs == 3
    assert settings_from_configure(log_level=logging.DEBUG)["overrides"] == {"log.level": "debug"}


def test_configure_refuses_what_it_does_not_know() -> None:
    with pytest.raises(SettingsError, match=r"storage_pth is no setting \(did you mean storage_path\?\)"):
        settings_from_configure(storage_pth="x")
    with pytest.raises(SettingsError, match="twice"):
        settings_from_configure(storage_path="x", home="y")


def test_files_that_hold_keys_are_known_also_where_the_key_comes_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(SECRET)
    environ = {"OPENAI_API_KEY_FILE": "one", "ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_API_KEY_FILE": "/elsewhere/two"}
    settings = read(tmp_path, "[providers.own]\nbase_url = 'http://x'\nkey_env = 'OWN_TOKEN'\n", environ)
    assert settings.key_files == (tmp_path / "one", Path("/elsewhere/two"))
    (tmp_path / "interlock.toml").unlink()
    assert read(tmp_path, "", {"OWN_TOKEN_FILE": "three"}).key_files == ()
    assert not any("key_files" in name for name, _, _ in settings.entries())
