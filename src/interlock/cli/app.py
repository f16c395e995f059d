"""The command tree: what there is, loaded when it is called, and the one place where a command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import click

from interlock import __version__
from interlock.cli.door import Door
from interlock.cli.grammar import Noun, Places, Verb, of_click
from interlock.errors import InterlockError

_CLI = "interlock.cli"
ROOT: Places = {
    "run": (f"{_CLI}.app:run", "Start, watch and steer runs."),
    "plan": (f"{_CLI}.app:plan", "Make plans, look at them, carry them out."),
    "cost": (f"{_CLI}.cost:cost", "Show what is spent, reserved and left."),
    "approval": (f"{_CLI}.app:approval", "Answer what waits for a person."),
    "policy": (f"{_CLI}.app:policy", "Try out and check what agents may do."),
    "audit": (f"{_CLI}.app:audit", "See, check and export what happened."),
    "agent": (f"{_CLI}.app:agent", "See who does the work."),
    "config": (f"{_CLI}.app:config", "See what is set, and where."),
    "user": (f"{_CLI}.app:user", "Say who may ask for work, and give them tokens."),
    "vault": (f"{_CLI}.app:vault", "Keep secrets encrypted."),
    "demo": (f"{_CLI}.demo:demo", "Play a real governed run, killed in the middle; no key needed."),
    "doctor": (f"{_CLI}.operations:doctor", "Check that everything works, and say what to do if not."),
    "help": (f"{_CLI}.app:topic", "Explain exit-codes, environment or output."),
}
RUN: Places = {
    "start": (f"{_CLI}.driving:start", "Give an agent a task."),
    "list": (f"{_CLI}.runs:list_runs", "List runs, newest first."),
    "show": (f"{_CLI}.runs:show", "Show one run with its steps."),
    "watch": (f"{_CLI}.driving:watch", "Follow a run, whoever drives it."),
    "resume": (f"{_CLI}.driving:resume", "Go on with a run from its last fact."),
    "fork": (f"{_CLI}.forking:fork", "Begin a new run from a step of another."),
    "diff": (f"{_CLI}.forking:diff", "Lay two runs beside each other."),
    "replay": (f"{_CLI}.forking:replay", "Tell again what happened, without doing anything."),
    "pause": (f"{_CLI}.runs:pause", "Let a run begin nothing new."),
    "cancel": (f"{_CLI}.runs:cancel", "Stop a run for good."),
    "prune": (f"{_CLI}.pruning:prune", "Remove the files of runs that ended long ago."),
}
PLAN: Places = {
    "make": (f"{_CLI}.plans:make", "Have a task taken apart into a plan."),
    "show": (f"{_CLI}.plans:show", "Show a plan with what it may cost."),
    "check": (f"{_CLI}.plans:check", "Say whether a plan can be carried out."),
    "run": (f"{_CLI}.plans:run", "Carry a plan out, or go on with it."),
}
AGENT: Places = {
    "list": (f"{_CLI}.operations:list_agents", "List the agents and whether they have a key."),
    "test": (f"{_CLI}.operations:test_agent", "Reach out to an agent's provider, without a paid call."),
}
APPROVAL: Places = {
    "list": (f"{_CLI}.approvals:list_approvals", "List what waits for an answer."),
    "show": (f"{_CLI}.approvals:show", "Show exactly what is asked, and why."),
    "allow": (f"{_CLI}.approvals:allow", "Say yes, once."),
    "deny": (f"{_CLI}.approvals:deny", "Say no, with a reason."),
}
POLICY: Places = {
    "test": (f"{_CLI}.policy:test_policy", "Say what would become of a command, statement, call or task."),
    "show": (f"{_CLI}.policy:show_policy", "Show the rules with their places."),
    "check": (f"{_CLI}.policy:check_policy", "Try every example of a policy file."),
}
AUDIT: Places = {
    "show": (f"{_CLI}.audit:show", "Show who did what, by which rule, with which outcome."),
    "verify": (f"{_CLI}.audit:verify", "Prove that nothing was edited, removed or cut off."),
    "export": (f"{_CLI}.audit:export", "Write the log into a file that can be checked anywhere."),
    "prune": (f"{_CLI}.audit:prune", "Let go of what is older than the retention."),
}
CONFIG: Places = {"show": (f"{_CLI}.operations:show_config", "Show all settings.")}
USER: Places = {
    "add": (f"{_CLI}.users:add", "Add a user."),
    "list": (f"{_CLI}.users:list_users", "List the users with their roles and tokens."),
    "remove": (f"{_CLI}.users:remove", "Remove a user and revoke their tokens."),
    "token": (f"{_CLI}.users:token", "Make an API token for a user."),
    "revoke": (f"{_CLI}.users:revoke", "Take an API token back."),
}
VAULT: Places = {
    "set": (f"{_CLI}.vault:set_secret", "Keep a secret."),
    "list": (f"{_CLI}.vault:list_secrets", "List the secrets, without their values."),
    "rotate": (f"{_CLI}.vault:rotate", "Take a new key for the vault."),
    "remove": (f"{_CLI}.vault:remove", "Forget a secret."),
}
_EVERYWHERE = {
    "": ROOT,
    "run": RUN,
    "plan": PLAN,
    "approval": APPROVAL,
    "policy": POLICY,
    "audit": AUDIT,
    "agent": AGENT,
    "config": CONFIG,
    "user": USER,
    "vault": VAULT,
}

run = Noun("run", RUN, everywhere=_EVERYWHERE, help="Start, watch and steer runs.")
plan = Noun("plan", PLAN, everywhere=_EVERYWHERE, help="Make plans, look at them, carry them out.")
approval = Noun("approval", APPROVAL, everywhere=_EVERYWHERE, help="Answer what waits for a person.")
policy = Noun("policy", POLICY, everywhere=_EVERYWHERE, help="Try out and check what agents may do.")
audit = Noun("audit", AUDIT, everywhere=_EVERYWHERE, help="See, check and export what happened.")
agent = Noun("agent", AGENT, everywhere=_EVERYWHERE, help="See who does the work.")
config = Noun("config", CONFIG, everywhere=_EVERYWHERE, help="See what is set, and where.")
user = Noun("user", USER, everywhere=_EVERYWHERE, help="Say who may ask for work, and give them tokens.")
vault = Noun("vault", VAULT, everywhere=_EVERYWHERE, help="Keep secrets encrypted.")

_FIRST = """Agent operations you can stop, resume and explain.

\b
  interlock demo                                    see it work, no key needed
  interlock run start "How full are the disks?"     give an agent a task
  interlock run list                                what ran, what waits
"""


def _say_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        door = ctx.ensure_object(Door)
        door.out.record({"version": __version__}) if door.out.json else door.out.answer(f"interlock {__version__}")
        ctx.exit()


_MORE = "More: interlock help exit-codes | environment | output"
tree = Noun("interlock", ROOT, everywhere=_EVERYWHERE, help=_FIRST, epilog=_MORE)
tree.params.append(
    click.Option(["--version"], is_flag=True, expose_value=False, callback=_say_version, help="Show the version.")
)

TOPICS = {
    "exit-codes": """\
Exit codes
  0    done
  1    failed
  2    the command line or a setting is wrong; nothing was done
  3    waiting for a person; the run goes on when it is answered or resumed
  4    sign in: there is no key, or it is not accepted
  5    refused by a rule or a person; do not retry
  6    over budget
  7    not found
  130  interrupted; the run can be resumed (of plan run on SIGTERM: 0)
""",
    "environment": """\
Environment
  OPENAI_API_KEY, ANTHROPIC_API_KEY     keys; with _FILE at the end, the file that holds one
  OPENAI_BASE_URL, ANTHROPIC_BASE_URL   other addresses for the same APIs
  INTERLOCK_HOME                        the folder of the store; by default .interlock here
  INTERLOCK_PROFILE                     the [profile.NAME] of interlock.toml to use
  INTERLOCK_CONFIG                      the settings file; by default the nearest interlock.toml
  INTERLOCK_SECTION__KEY                any setting, for example INTERLOCK_LIMITS__MAX_RUNS=8
  INTERLOCK_VAULT_PASSPHRASE            the passphrase of the vault
  ENCRYPTION_KEY                        a key of the vault; a key file or keyring is safer
  NO_COLOR, FORCE_COLOR                 never, or always, use colour
An unknown INTERLOCK_ variable stops the start. `interlock config show --origin` says where each value comes from.
""",
    "output": """\
Output
  stdout is the answer and nothing else; progress, hints and questions go to stderr.
  At a terminal lists are aligned; in a pipe they are tab-separated, without heading and colour, times in ISO 8601.
  --json    lists:   {"as_of", "items", "next", "truncated", "counts"}
            changes: {"target", "applied", "dry_run", "detail"}
            errors:  {"error": {"code", "says", "do", "run"}}, and the exit code tells the same
            run start, run resume, run fork: the result
            run watch, run replay, plan run: one fact a line, the last line of kind "result"
  Money is a text in US dollars, exact to the millionth; a price that is not known is null, never 0.
""",
}


@click.command("help", cls=Verb)
@click.argument("about", metavar="TOPIC", type=click.Choice(sorted(TOPICS)), required=False)
@click.pass_obj
def topic(door: Door, about: str | None) -> None:
    """Explain a topic: exit-codes, environment or output.

    \b
      interlock help exit-codes
    """
    if about is None:
        with click.Context(tree, info_name="interlock", obj=door) as ctx:
            door.out.answer(tree.get_help(ctx))
    elif door.out.json:
        door.out.record({"topic": about, "text": TOPICS[about]})
    else:
        door.out.answer(TOPICS[about])


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(perform(sys.argv[1:] if args is None else args))


def perform(args: Sequence[str]) -> int:
    """Run one command line and give its exit code."""
    door = Door()
    words = list(args)
    # What is wrong with a command line is answered in JSON too, wherever the option stands.
    door.out.json = "--json" in (words[: words.index("--")] if "--" in words else words)
    return guarded(door, lambda: tree.main(args=words, prog_name="interlock", standalone_mode=False, obj=door))


def guarded(door: Door, work: Callable[[], object]) -> int:
    """Do the work of a command and give the exit code; whatever goes wrong is said, and nobody sees a stack trace."""
    try:
        code = work()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        door.out.answer(error.format_message())
        return 2
    except click.ClickException as error:
        return _ended(door, of_click(error))
    except InterlockError as error:
        return _ended(door, error)
    except (KeyboardInterrupt, click.Abort):
        door.out.status("")
        return 130
    except Exception as error:  # noqa: BLE001 - the outermost door
        return _ended(door, _written_down(door, error))


def _ended(door: Door, error: InterlockError) -> int:
    try:
        door.refuse(error, run=door.run)
    except InterlockError:  # not even that can be printed
        return 1
    return error.exit_code


def _written_down(door: Door, error: Exception) -> InterlockError:
    """Write what happened to the log, and say where."""
    import tempfile
    import time
    import traceback
    from pathlib import Path

    from interlock.governance.redaction import redact
    from interlock.platform.redacting import redactor_for
    from interlock.records.masking import without_keys

    hide = redact if door.known is None else redactor_for(door.known).redact
    lines = without_keys(hide("".join(traceback.format_exception(error)))).splitlines()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = "\n".join([f"{at} internal error {type(error).__name__}", *lines, ""])
    for file in (door.log_file(), Path(tempfile.gettempdir()) / f"interlock-{os.getuid()}.log"):
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "a", encoding="utf-8") as log:
                log.write(entry)
        except OSError:
            continue
        return InterlockError(
            f"Something went wrong inside Interlock ({type(error).__name__}); what happened is in the log.",
            f"See {file}, and please report it.",
            code="internal",
        )
    return InterlockError("Something went wrong inside Interlock, and no log could be written.", code="internal")
