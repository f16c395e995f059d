"""What a command cannot do, seen from outside: through the command line, with the walls this machine has."""

from __future__ import annotations

from typing import Any

from interlock.testing import Calls, SimulatedProvider, Text, call
from interlock.tools.sandbox import strength
from tests.stories.shell import Shell

LEVEL = strength("auto")[0]
GUARDED = LEVEL in ("bubblewrap+landlock", "landlock", "bubblewrap")


def outputs(
    served: Shell, sim: SimulatedProvider, *commands: list[str], allow: str, env: dict[str, str]
) -> list[dict[str, Any]]:
    sim.script = [*(Calls(call("shell", argv=argv)) for argv in commands), Text("Done.")]
    said = served("run", "start", "Do it.", "--allow", allow, "--json", env=env)
    assert said.code == 0, said
    shown = served("run", "show", said.json["run_id"], "--json", "--content", env=env).json
    return [step["output"] for step in shown["steps"] if step["path"].startswith("tool/")]


def test_a_command_cannot_make_the_rules_it_is_governed_by_and_the_record_says_what_kept_it(
    served: Shell, sim: SimulatedProvider
) -> None:
    (served.folder / "src").mkdir()
    found = outputs(
        served, sim, ["touch", "interlock.toml"], ["touch", "policy.toml"], ["touch", "src/x"], allow="touch", env={}
    )
    if LEVEL == "none":
        assert not (served.folder / "src" / "x").exists(), "without a sandbox nothing that changes something is run"
        return
    assert {one["sandbox"] for one in found} == {LEVEL}
    assert (served.folder / "src" / "x").exists()
    made = [(served.folder / name).exists() for name in ("interlock.toml", "policy.toml")]
    assert made == [not GUARDED] * 2, "only walls around files can keep it from that"


def test_whoever_wants_no_walls_has_to_say_so_and_the_record_shows_it(served: Shell, sim: SimulatedProvider) -> None:
    off = outputs(served, sim, ["touch", "x"], allow="touch", env={"INTERLOCK_SANDBOX__LEVEL": "off"})
    assert (off[0]["sandbox"], (served.folder / "x").exists()) == ("off", True)


def test_the_doctor_says_which_walls_there_are(shell: Shell) -> None:
    said = shell("doctor", "--json").json
    check = next(check for check in said["items"] if check["name"] == "sandbox")
    assert (LEVEL in check["says"]) or (LEVEL == "none" and check["state"] == "warning")
    off = shell("doctor", env={"INTERLOCK_SANDBOX__LEVEL": "off"})
    assert "without a sandbox, since the settings say so" in off.out
