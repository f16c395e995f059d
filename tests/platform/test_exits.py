"""Every exit of a platform: what it knows to be secret, and what looks like a credential, leaves by none of them."""

from __future__ import annotations

import base64
import json
import logging
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from interlock import Budget, Plan, Platform, Step, Task, TaskType
from interlock.errors import UsageError
from interlock.platform.redacting import LiveTexts, redactor_for
from interlock.platform.settings import Keys, Settings
from interlock.testing import SimulatedProvider
from interlock.testing.script import Calls, Reply, RequestView, Text, call
from tests.governance.fake_secrets import Forge

SECRET = 'correct-horse/"battery"+staple-7421'
FORMS = [
    SECRET,
    json.dumps(SECRET)[1:-1],
    base64.b64encode(SECRET.encode()).decode(),
    urllib.parse.quote(SECRET, safe=""),
]
TOKEN = Forge(5).tokens()["github"]
CARD = Forge(5).card("4", 16)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def stored(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file())


def knowing(**keys: str) -> Settings:
    return Settings(home=Path(), workspace=Path(), keys=Keys(keys))


def leaked(text: str) -> list[str]:
    return [form for form in (*FORMS, TOKEN) if form in text]


async def test_a_known_secret_is_in_no_prompt_store_result_event_log_or_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="interlock")
    spans = InMemorySpanExporter()

    def answer(view: RequestView) -> Reply:
        if not view.results:
            return Calls(call("lookup", where=SECRET), text=f"I look up {SECRET}.")
        return Text(f"It is {SECRET}, or {FORMS[2]}, or {FORMS[3]}.")

    def lookup(where: str) -> dict[str, Any]:
        """Look something up."""
        return {"found": [SECRET, *FORMS], "config": f"GITHUB_TOKEN={TOKEN}", "size": 7, "ok": True}

    events: list[str] = []
    async with SimulatedProvider(script=answer) as sim:
        provider: dict[str, Any] = {"openai": {"base_url": sim.openai_url}}
        async with Platform(home="home", openai_api_key=SECRET, providers=provider) as platform:
            platform.enable_tracing(spans)
            platform.register_tool(lookup)
            task = Task(f"What is {SECRET}?", type=TaskType.ANALYSIS, context={"note": FORMS[2]})
            async for event in platform.stream(task):
                events.append(json.dumps(event.to_json()))
                result = event.result
            assert result is not None
            run = await platform.show(result.run_id)
        sent = "".join(json.dumps(request.body) for request in sim.requests if request.body)
    assert result.status == "completed"
    found = run.steps["tool/1"].output
    assert (found["size"], found["ok"], len(found["found"])) == (7, True, 5)
    assert "[REDACTED:openai-key:" in result.output
    exits = {
        "prompts": sent,
        "events": "".join(events),
        "result": json.dumps(result),
        "store": stored(tmp_path / "home").decode("latin-1"),
        "logs": caplog.text,
        "traces": "".join(span.to_json() for span in spans.get_finished_spans()),
    }
    assert {name: leaked(text) for name, text in exits.items()} == {name: [] for name in exits}
    assert "What is [REDACTED" in sent


async def test_what_looks_like_a_credential_in_an_agents_answer_leaves_by_no_step_of_a_plan(tmp_path: Path) -> None:
    given: list[str] = []

    def use(text: str) -> str:
        """Use a text."""
        given.append(text)
        return "used"

    steps = [
        Step("ask", metadata={"agent": "clerk"}),
        Step("use", tool="use", tool_input={"text": "${ask}"}, dependencies=["ask"]),
    ]
    async with Platform(home=tmp_path / "home") as platform:
        platform.register_agent("clerk", lambda text: f"the token is {TOKEN}")
        results = await platform.execute(Plan("p", steps, tools=[use]), "asks")
        told = [json.dumps(event.to_json(), default=str) async for event in platform.replay("asks")]
    assert [one.status for one in results] == ["completed", "completed"]
    assert "[REDACTED:" in results[0].output
    assert leaked(json.dumps([one.to_json() for one in results]) + "".join(given)) == []
    assert leaked("".join(line for line in told if '"plan/ask/1/call"' not in line)) == []


async def test_what_streams_is_what_the_result_says(tmp_path: Path) -> None:
    says = f"The first line.\nThen {TOKEN} and plain words to the end"
    async with SimulatedProvider(script=[Text(says)]) as sim:
        provider: dict[str, Any] = {"openai": {"base_url": sim.openai_url}}
        async with Platform(home="home", openai_api_key=SECRET, providers=provider) as platform:
            events = [event async for event in platform.stream(Task("x", type=TaskType.ANALYSIS))]
    text = "".join(event.data["text"] for event in events if event.kind == "text")
    result = events[-1].result
    assert result is not None
    assert text == result.output
    assert TOKEN not in text
    assert text.endswith("and plain words to the end")


async def test_a_run_of_functions_goes_on_with_what_the_store_says(tmp_path: Path) -> None:
    async with Platform(home="home", openai_api_key=SECRET) as platform:
        platform.register_agent("a", lambda text: {"said": text, "pair": [SECRET, 1]})
        result = await platform.run(Task(f"Say {SECRET}", context={"agent": "a"}))
        kept = (await platform.show(result.run_id)).steps["call"].output
    assert kept == result.output
    assert leaked(json.dumps(result)) == []
    assert leaked(stored(tmp_path / "home").decode("latin-1")) == []


async def test_a_name_that_holds_a_secret_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    key = "correcthorsebatterystaple7421"
    async with Platform(home="home", openai_api_key=key) as platform:
        platform.register_agent("a", lambda text: "ok")
        with pytest.raises(UsageError) as caught:
            await platform.submit(Task("x", context={"agent": "a"}), run_id=f"run-{key}")
    assert caught.value.code == "usage.secret_name"
    assert key not in caught.value.user_message
    assert key.encode() not in stored(tmp_path / "home")


async def test_personal_data_stays_in_results_and_leaves_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="interlock")

    async def broken(text: str) -> str:
        raise RuntimeError(f"no customer bob@firma.de with card {CARD}")

    async with Platform(home="home", openai_api_key=SECRET) as platform:
        platform.register_agent("a", lambda text: "Write to bob@firma.de.")
        platform.register_agent("b", broken)
        result = await platform.run(Task("x", context={"agent": "a"}))
        failed = await platform.run(Task("y", context={"agent": "b"}))
    assert result.output == "Write to bob@firma.de."
    assert failed.status == "failed"
    assert "no customer" in caplog.text
    assert "bob@firma.de" not in caplog.text
    assert CARD not in caplog.text


def test_a_key_that_is_a_word_hides_no_words() -> None:
    redactor = redactor_for(knowing(openai="simulated", anthropic=SECRET))
    assert not redactor.holds("a simulated provider")
    assert redactor.holds(f"a {SECRET}")


def test_live_texts_of_several_steps_do_not_mix() -> None:
    redactor = redactor_for(knowing(openai=SECRET))
    texts = LiveTexts(redactor)
    shown = {"a": "", "b": ""}
    for at in range(0, len(SECRET), 3):
        shown["a"] += texts.feed("a", 1, SECRET[at : at + 3])
        shown["b"] += texts.feed("b", 1, "word ")
    for path, _, rest in (*texts.close("a"), *texts.close()):
        shown[path] += rest
    assert shown["a"].startswith("[REDACTED:openai-key:")
    assert shown["b"] == "word " * (len(range(0, len(SECRET), 3)))


async def test_a_secret_in_a_file_goes_to_no_model_and_is_not_overwritten_by_its_marker(tmp_path: Path) -> None:
    kept = f"GITHUB_TOKEN={TOKEN}\nPORT=80\n"
    (tmp_path / "settings.conf").write_text(kept)

    def answer(view: RequestView) -> Reply:
        seen = list(view.results.values())
        if not seen:
            return Calls(call("files_read", path="settings.conf"))
        if len(seen) == 1:
            return Calls(call("files_write", path="settings.conf", content=seen[0]))
        return Text("done")

    async with SimulatedProvider(script=answer) as sim:
        provider: dict[str, Any] = {"openai": {"base_url": sim.openai_url}}
        async with Platform(home="home", openai_api_key=SECRET, providers=provider) as platform:
            result = await platform.run(Task("x", type=TaskType.ANALYSIS))
            steps = (await platform.show(result.run_id)).steps
        sent = "".join(json.dumps(request.body) for request in sim.requests if request.body)
    assert TOKEN not in sent
    assert "PORT=80" in sent
    failure = steps["tool/2"].failure
    assert failure is not None
    assert "redaction.marker" in failure.says
    assert (tmp_path / "settings.conf").read_text() == kept


@pytest.mark.parametrize("whose", ["user", "tenant"])
async def test_a_secret_as_the_name_of_a_user_or_tenant_is_refused_and_nowhere_kept(tmp_path: Path, whose: str) -> None:
    def named(name: str) -> Task:
        return Task("work", user=name) if whose == "user" else Task("work", tenant=name)

    home = tmp_path / "home"
    async with Platform(home=home) as platform:
        platform.register_agent("openai", lambda text: text)
        platform._redactor.register(SECRET, "db")
        platform.add_budget(Budget(limit=1, scope=whose))  # type: ignore[arg-type]
        with pytest.raises(UsageError) as caught:
            await platform.run(named(SECRET))
        assert caught.value.code == "usage.secret_name"
        assert (await platform.run(named("ann"))).status == "completed"
    assert SECRET.encode() not in stored(home)


async def test_a_secret_of_the_vault_is_hidden_before_anyone_has_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_VAULT_PASSPHRASE", "the test's own passphrase")
    home = tmp_path / "home"
    async with Platform(home=home) as first:
        first.vault.set("db", SECRET)
    async with Platform(home=home) as later:
        later.register_agent("openai", lambda text: f"I found {SECRET} there")
        assert SECRET not in str((await later.run(Task("look"))).output)
        async with Platform(home=home) as another:
            another.vault.set("card", "set-by-another-6321")
        later.register_agent("reader", lambda text: "set-by-another-6321")
        found = await later.run(Task("look", context={"agent": "reader"}))
        assert "set-by-another" not in str(found.output)
    assert leaked(stored(home).decode(errors="replace")) == []
