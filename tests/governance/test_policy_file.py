"""The policy file: what it can say, where it is wrong, and that every example in it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.errors import PolicyError, SettingsError
from interlock.governance.policy_file import parse_policy, read_policy
from interlock.records.task import Task
from interlock.records.verdict import Act, Effect

GOOD = """
[commands]
allowed = ["ls", "git status"]
approver = "ops"

[[command]]
rule = ["git push", "npm publish"]
decision = "approval"
approver = "release"
quorum = 2
expires_in = "15m"
grants = ["run"]
reason = "It leaves this machine."
match = ["git push origin main", "ls && npm publish"]
no_match = ["git status"]

[[command]]
rule = "git push --force"
decision = "block"
match = ["git push -f", "git push origin +main"]
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert caught.value.code == "settings.policy"
    assert isinstance(caught.value, SettingsError)
    lines = caught.value.says.splitlines()
    return [line.strip() for line in lines[1:]] if len(lines) > 1 else lines


def test_a_rule_brings_its_place_and_its_terms_into_the_verdict() -> None:
    policy = parse_policy(GOOD)
    assert policy.commands is not None
    verdict = policy.commands.judge_text("git push origin main")
    assert (verdict.effect, verdict.rule, verdict.place) == (Effect.APPROVAL, "git push", "policy.toml:6")
    assert (verdict.approver, verdict.quorum, verdict.expires_in, verdict.grants) == ("release", 2, 900.0, ("run",))
    assert verdict.reason == "It leaves this machine."
    forced = policy.commands.judge_text("ls; git push --force")
    assert (forced.effect, forced.rule, forced.place) == (Effect.BLOCK, "git push --force", "policy.toml:17")
    assert [(part.effect.word, part.place) for part in forced.parts] == [
        ("allow", "policy.toml:3"),
        ("block", "policy.toml:17"),
    ]


def test_the_terms_of_the_table_hold_where_a_rule_says_nothing() -> None:
    policy = parse_policy(GOOD.replace('approver = "release"\n', ""))
    assert policy.commands is not None
    assert policy.commands.judge_text("git push").approver == "ops"
    assert policy.commands.judge_text("git push").grants == ("run",)


def test_an_example_that_is_decided_otherwise_stops_the_load_and_says_how_it_was_decided() -> None:
    text = GOOD.replace('"git push origin main", ', '"git push --force", ')
    assert wrong(text) == [
        "policy.toml:14 `git push --force` must be decided approval, but is decided block by `git push --force` "
        "(policy.toml:17)."
    ]
    text = GOOD.replace('no_match = ["git status"]', 'no_match = ["git push origin x"]')
    assert wrong(text) == ["policy.toml:15 `git push origin x` must not be decided by this rule, but is."]


def test_everything_that_is_wrong_is_listed_in_order_of_its_lines() -> None:
    text = """
[commands]
allwed = ["ls"]
[[command]]
rule = "git push"
[[command]]
rule = "ls | cat"
decision = "allow"
[[command]]
rule = "git push"
decision = "maybe"
expires_in = "soon"
[[command]]
rule = "$(x)"
decision = "block"
approver = "me"
[[sql]]
statements = ["delete"]
decision = "allow"
[[sql]]
decision = "block"
[[tool]]
name = "x"
decision = "allow"
arguments = { env = "(" }
match = [3]
[[guardrail]]
name = "empty"
on = ["nowhere"]
[other]
"""
    found = wrong(text)
    assert [says.partition(" ")[0] for says in found] == [
        f"policy.toml:{line}" for line in (3, 4, 7, 10, 11, 12, 12, 14, 16, 17, 20, 25, 26, 27, 27, 29, 30)
    ]
    told = "\n".join(found)
    for part in (
        "unknown key 'allwed' (did you mean allowed?)",
        "the rule needs a decision: allow, approval or block",
        "can never match",
        "the rule `git push` stands at policy.toml:4 already",
        "decision must be one of allow, approval, block, not 'maybe'",
        "expires_in must be seconds, or a time like 30m, 2h or 7d",
        "`$(x)` is no command or pipeline, so the rule can never match",
        "approver has no meaning where nobody is asked",
        "must name the tables",
        "decision of an [[sql]] rule is allow or approval",
        "env is no regular expression of RE2",
        "needs a message",
        "needs one of contains, estimated_cost_over, matches, max_length",
        "on holds 'nowhere'",
    ):
        assert part in told


@pytest.mark.parametrize("text", ["[commands", 'a = "\n', "x = 1\nx = 2"])
def test_what_is_not_toml_is_refused_with_its_line(text: str) -> None:
    assert "is not valid TOML" in wrong(text)[0]
    assert wrong(text)[0].startswith("policy.toml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for name, says in (("gone.toml", "there is no such file"), ("latin.toml", "it is not UTF-8 text")):
        (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
        with pytest.raises(PolicyError, match=says):
            read_policy(tmp_path / name)


def test_the_digest_is_of_what_is_said_not_of_how() -> None:
    digest = parse_policy(GOOD).digest
    assert len(digest) == 64
    assert parse_policy(f"# a comment\n{GOOD}\n\n").digest == digest
    assert parse_policy(GOOD.replace("quorum = 2", "quorum = 3")).digest != digest


def test_what_a_reviewer_should_know_is_a_warning_with_its_place() -> None:
    policy = parse_policy(
        '[commands]\nallowed = ["mytool"]\n[[command]]\nrule = "git push"\ndecision = "block"\n'
        '[[tool]]\nname = "*"\ndecision = "allow"\nmatch = ["x"]\n'
    )
    assert len(policy.warnings) == 3
    assert policy.warnings[0].startswith("policy.toml:2 `mytool` has no profile")
    assert policy.warnings[1] == "policy.toml:3 `git push` has no example: add match = [...]"
    assert policy.warnings[2] == "policy.toml:6 `*` allows every tool without asking anyone"


TOOLS = """
[tools]
others = "approval"

[[tool]]
name = ["search", "lookup_*"]
decision = "allow"
match = ["search", "lookup_user"]
no_match = ["delete_user"]

[[tool]]
name = "deploy"
decision = "approval"
approver = "release"
match = [{ tool = "deploy", arguments = { env = "staging" } }]

[[tool]]
name = "deploy"
arguments = { env = "prod" }
decision = "block"
match = [{ tool = "deploy", arguments = { env = "production" } }, "deploy"]
no_match = [{ tool = "deploy", arguments = { env = "staging" } }]
"""


def test_tools_are_decided_by_name_and_arguments_and_the_strictest_rule_wins() -> None:
    policy = parse_policy(TOOLS)

    def of(name: str, **arguments: object) -> tuple[str, str]:
        verdict = policy.judge_tool(Act(kind="tool", name=name, arguments=arguments))
        return (verdict.effect.word, verdict.place) if verdict else ("", "")

    assert of("lookup_user") == ("allow", "policy.toml:5")
    assert of("deploy", env="staging") == ("approval", "policy.toml:11")
    assert of("deploy", env="production") == ("block", "policy.toml:17")
    assert of("deploy") == ("block", "policy.toml:17"), "what is not said may be production"
    assert of("unheard_of") == ("approval", "policy.toml:3")


SQL = """
[[sql]]
tool = "shop"
dialect = "postgres"
decision = "allow"
max_rows = 100
match = ["SELECT name FROM users"]
no_match = ["DELETE FROM users", "SELECT pg_sleep(1)"]

[[sql]]
tool = "shop"
dialect = "postgres"
statements = ["update"]
tables = ["orders"]
decision = "approval"
match = ["UPDATE orders SET state = 'sent' WHERE id = 1"]
no_match = ["UPDATE users SET name = 'x' WHERE id = 1"]
"""


def test_examples_of_sql_are_tried_and_what_no_rule_covers_is_blocked() -> None:
    policy = parse_policy(SQL)
    assert [rule.effect for rule in policy.sql] == [Effect.ALLOW, Effect.APPROVAL]
    broken = SQL.replace('no_match = ["DELETE FROM users", ', 'no_match = ["SELECT 1", ')
    assert wrong(broken) == ["policy.toml:8 `SELECT 1` must not be covered by this rule, but is."]
    broken = SQL.replace('match = ["SELECT name FROM users"]', 'match = ["DROP TABLE users"]')
    assert wrong(broken)[0].startswith(
        "policy.toml:7 `DROP TABLE users` must be decided allow, but is decided block by"
    )


GUARDRAILS = """
[[guardrail]]
name = "no-payroll"
type = "block"
on = ["task", "tool_call"]
contains = ["payroll", "salary table"]
message = "Payroll is off limits"
match = ["Show me the Payroll", "dump the salary   table"]
no_match = ["the payrolls"]

[[guardrail]]
name = "dear"
type = "approval_required"
estimated_cost_over = 10
approver = "finance"
message = "More than 10 USD needs a yes"
match = [10.01]
no_match = [10, "cheap"]

[[guardrail]]
name = "tickets"
type = "validation"
on = ["tool_result"]
tools = ["web_*"]
matches = "TICKET-[0-9]+"
message = "No tickets"
match = ["see TICKET-12"]
"""


def test_guardrails_can_be_data() -> None:
    payroll, dear, tickets = parse_policy(GUARDRAILS).guardrails
    assert payroll.judge(Task("the PAYROLL please")) is not None
    assert payroll.judge(Task("x", context={"deep": [{"a": "payroll"}]})) is not None
    assert payroll.judge(Act(kind="tool", name="t", arguments={"q": ["x", "salary table"]})) is not None
    verdict = dear.judge(Task("x", estimated_cost=11))
    assert verdict is not None
    assert (verdict.effect, verdict.approver, verdict.place) == (Effect.APPROVAL, "finance", "policy.toml:11")
    assert tickets.judge(Act(kind="tool_result", name="web_get", content="TICKET-1")) is not None
    assert tickets.judge(Act(kind="tool_result", name="shell", content="TICKET-1")) is None


def test_a_guardrail_that_could_never_match_is_refused() -> None:
    assert "estimated_cost_over has a meaning for tasks only" in str(
        wrong(GUARDRAILS.replace("estimated_cost_over = 10", 'on = ["output"]\nestimated_cost_over = 10'))
    )
    assert "'the payrolls' must match at the point task, but does not" in str(
        wrong(
            GUARDRAILS.replace('no_match = ["the payrolls"]', "").replace(
                'match = ["Show', 'match = ["the payrolls", "Show'
            )
        )
    )


def test_the_example_policy_is_good_and_says_what_it_says() -> None:
    path = Path(__file__).parents[2] / "examples" / "policy.toml"
    policy = read_policy(path)
    assert policy.rules > 20
    assert policy.warnings == ()
    assert policy.guardrails


def test_a_rule_that_forbids_an_argument_looks_into_lists_and_objects() -> None:
    text = '[[tool]]\nname = "fetch"\ndecision = "block"\narguments = { path = "^/etc" }\n'
    rule = parse_policy(text).tools[0]
    for path in ("/etc/x", ["/srv", "/etc/x"], {"one": {"two": "/etc/x"}}):
        verdict = rule.judge("fetch", {"path": path})
        assert verdict is not None
        assert verdict.effect is Effect.BLOCK
    assert rule.judge("fetch", {"path": ["/srv", "a/etc"]}) is None


def test_wide_letters_do_not_hide_a_word_from_a_guardrail() -> None:
    text = '[[guardrail]]\nname = "n"\nmessage = "No."\n{}\n'
    for condition in ('contains = ["drop table"]', 'matches = "(?i)drop table"'):
        guardrail = parse_policy(text.format(condition)).guardrails[0]
        assert guardrail.judge(Task("please \uff24\uff32\uff2f\uff30 table x")) is not None
        assert guardrail.judge(Task("please tidy the table \u2014 x")) is None
