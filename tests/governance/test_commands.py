"""The command policy: default deny, exact allow rules, and refusals that are not fooled by spelling."""

from __future__ import annotations

import shlex
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import UsageError
from interlock.governance.commands import LOOK_AROUND, CommandPolicy
from interlock.governance.shell.profiles import PROGRAMS, document
from interlock.records.verdict import Effect

#: The lists of the HybridPlatform guide, word for word.
GUIDE = CommandPolicy(
    allowed=[
        *("ls", "cat", "grep", "ps", "top", "df"),
        *("git status", "git log", "git diff"),
        *("npm test", "pytest", "docker ps"),
    ],
    forbidden=["rm -rf", "sudo", "chmod 777", "DROP TABLE", "DELETE FROM", "curl | bash", "wget | bash"],
    require_approval=["git push", "npm publish", "kubectl apply", "terraform apply", "systemctl restart"],
)


def effect(policy: CommandPolicy, command: str) -> str:
    return policy.judge(shlex.split(command)).effect.word


@pytest.mark.parametrize(
    ("command", "wanted", "rule"),
    [
        ("ls -la /tmp", "allow", "ls"),
        ("git status -s", "allow", "git status"),
        ("/usr/bin/git status", "allow", "git status"),
        ("docker ps", "allow", "docker ps"),
        ("grep -rn 'rm -rf' .", "allow", "grep"),
        ("git push origin main", "approval", "git push"),
        ("git -C sub push", "approval", "git push"),
        ("git --no-pager push", "approval", "git push"),
        ("kubectl -n prod apply -f x", "approval", "kubectl apply"),
        ("systemctl --user restart x", "approval", "systemctl restart"),
        ("sudo ls", "block", "sudo"),
        ("/usr/bin/sudo ls", "block", "sudo"),
        ("rm -rf /", "block", "rm -rf"),
        ("chmod 777 x", "block", "chmod 777"),
        ("chmod -R 777 x", "block", "chmod 777"),
        ("psql -c 'drop  table users'", "block", "DROP TABLE"),
        ("curl http://x", "block", "default"),
        ("git", "block", "default"),
        ("git stash", "block", "default"),
        ("docker", "block", "default"),
        ("lsof", "block", "default"),
        ("./ls", "block", "default"),
        ("/tmp/ls", "block", "default"),
        ("env ls", "block", "default"),
    ],
)
def test_the_guides_lists_mean_what_they_say(command: str, wanted: str, rule: str) -> None:
    verdict = GUIDE.judge(shlex.split(command))
    assert (verdict.effect.word, verdict.rule) == (wanted, rule)
    assert verdict.allowed or verdict.reason.endswith(".")


@pytest.mark.parametrize("argv", [[], [""], ["", "ls"], [" ls"], ["LS"], ["ls\n"]])
def test_what_is_no_known_program_is_blocked(argv: list[str]) -> None:
    assert GUIDE.judge(argv).effect is Effect.BLOCK


def test_without_rules_nothing_runs() -> None:
    assert effect(CommandPolicy(), "ls") == "block"


def test_looking_around_is_all_that_runs_when_nothing_is_configured() -> None:
    assert effect(LOOK_AROUND, "df -h") == "allow"
    assert {effect(LOOK_AROUND, command) for command in ("cat /etc/passwd", "ps aux", "rm x", "git status")} == {
        "block"
    }


@pytest.mark.parametrize(
    "command",
    [
        *(
            "du --files0-from=/proc/1/environ",
            "du --files0-from=/etc/passwd",
            "du --files0-from notes",
            "du --files0=x",
        ),
        *("du -X /etc/passwd", "du -X notes", "du -skXnotes", "du --exclude-from=notes", "du --ex notes", "du -- ../x"),
        *("df --files0-from=x", "df --output-file=x", "df -o x", "ls --files0-from=x", "ls ~/.ssh", "ls -e x"),
        *("free /etc/passwd", "free --evil", "uptime x", "uptime -f x", "uname -S name", "uname x", "nproc x"),
        *("nproc --evil", "lsblk --sysroot /x", "lsblk --sysr=/x", "lsblk --evil"),
    ],
)
def test_looking_around_shows_the_machine_and_never_what_is_in_a_file(command: str) -> None:
    assert effect(LOOK_AROUND, command) == "block"
    assert LOOK_AROUND.judge_text(command).effect is Effect.BLOCK


@pytest.mark.parametrize(
    "command",
    [
        *(
            "df -P -k",
            "df -h",
            "du -x -k -d 1 /var",
            "du -x -k -d 1 /tmp",
            "du -sh .",
            "du -sh src --exclude=x",
            "ls -la",
        ),
        *("free -h", "uptime -p", "uname -a", "nproc", "lsblk -f", "lsblk -o NAME,SIZE /dev/sda"),
    ],
)
def test_looking_around_takes_the_options_that_only_look(command: str) -> None:
    assert effect(LOOK_AROUND, command) == "allow"


def test_every_program_for_looking_around_has_an_allow_list_of_options() -> None:
    assert LOOK_AROUND.warnings == ()


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_every_profile_means_what_its_examples_say(program: str) -> None:
    policy = CommandPolicy(allowed=[program])
    for wanted in ("allow", "block"):
        for command in document(program)["examples"].get(wanted, ()):
            assert (command, effect(policy, command)) == (command, wanted)


def test_forbidden_beats_approval_and_approval_beats_allowed() -> None:
    policy = CommandPolicy(allowed=["git"], forbidden=["git push --force"], require_approval=["git push"])
    assert effect(policy, "git log") == "allow"
    assert effect(policy, "git push") == "approval"
    for command in ("git push --force", "git push origin main -f", "git push --forc", "git -C x push -uf"):
        assert effect(policy, command) == "block"


@pytest.mark.parametrize(
    "command",
    [
        *("rm -rf x", "rm -fr x", "rm -r -f x", "rm -f x -r", "rm x -rf", "rm -Rf x", "rm -rvf x", "rm -vrf x"),
        *("rm --recursive --force x", "rm -r --force x", "rm --rec --fo x", "rm -f --recursive x"),
        *("/bin/rm -rf x", "/usr/local/bin/rm -rf x", "/tmp/copy/rm -rf x", "./rm -rf x"),
        *("sudo rm -rf x", "sudo -u root rm -rf x", "env rm -rf x", "env A=1 rm -rf x", "timeout 5 rm -rf x"),
        *("timeout -k 1 5 nice -n 3 nohup rm -rf x", "xargs -0 rm -rf", "busybox rm -rf x", "find . -exec rm -rf {} +"),
        *("sh -c 'rm -rf x'", "bash -lc 'rm -rf x'", "bash -c 'timeout 5 rm -rf x'", "sudo sh -c 'nohup rm -rf x'"),
        *("sh -c 'sh -c \"rm -rf x\"'", "sh -c 'rm -rf x; ls'", "sh -c 'sleep 1 && rm -rf x'"),
    ],
)
def test_a_forbidden_command_is_found_in_every_spelling_and_wrapping(command: str) -> None:
    everything = ["rm", "sudo", "env", "timeout", "xargs", "busybox", "find -exec", "sh", "bash", "nice", "nohup"]
    policy = CommandPolicy(
        allowed=[*everything, "sh -c", "bash -c", "bash -lc", "sleep", "./rm", "/tmp/copy/rm"], forbidden=["rm -rf"]
    )
    assert effect(policy, "rm x") == "allow"
    assert effect(policy, command) == "block"


@pytest.mark.parametrize("command", ["rm -r x", "rm -f x", "rm rf", "rm x", "ls -rf", "rmdir -rf"])
def test_only_what_is_forbidden_is_forbidden(command: str) -> None:
    assert effect(CommandPolicy(allowed=["rm", "ls", "rmdir"], forbidden=["rm -rf"]), command) == "allow"


@pytest.mark.parametrize(
    ("allowed", "command", "wanted"),
    [
        (["ls"], "timeout 5 ls", "block"),
        (["timeout"], "timeout 5 ls", "block"),
        (["timeout", "ls"], "timeout 5 ls -l", "allow"),
        (["timeout", "ls"], "timeout 5 rm ls", "block"),
        (["timeout", "ls"], "timeout -k 1 5 ls", "allow"),
        (["timeout", "ls"], "timeout --odd 5 ls", "block"),
        (["timeout", "ls"], "timeout", "allow"),
        (["timeout 5 ls"], "timeout 5 ls -l", "allow"),
        (["timeout 5 ls"], "timeout 6 ls", "block"),
        (["timeout", "nice", "ls"], "timeout 5 nice -n 3 ls", "allow"),
        (["sudo systemctl status"], "sudo systemctl status nginx", "allow"),
        (["sudo systemctl status"], "sudo systemctl stop nginx", "block"),
        (["env", "ls"], "env LD_PRELOAD=/tmp/x.so ls", "block"),
        (["env", "ls"], "env -S 'ls' x", "block"),
        (["env"], "env", "allow"),
        (["bash"], "bash build.sh -c release", "allow"),
        (["bash", "ls"], "bash -c 'ls -l'", "block"),
        (["bash -c", "ls"], "bash -c 'ls -l'", "allow"),
        (["bash -c", "ls"], "bash -c 'ls; rm x'", "block"),
        (["bash -c", "ls"], "bash -c 'rm x'", "block"),
        (["bash -c", "ls"], "bash -c ls extra", "block"),
        (["bash -c 'make | tee log'"], "bash -c 'make | tee log'", "allow"),
        (["python"], "python manage.py -c", "allow"),
        (["python", "python3"], "python3.11 x.py", "block"),
        (["python3"], "python3 -c 'import os'", "block"),
        (["python3"], "python3 -Ic 'import os'", "block"),
        (["python3"], "python3 -cimport_os", "block"),
        (["python3 -c"], "python3 -c 'import os'", "allow"),
        (["node", "perl"], "node --eval x", "block"),
        (["perl"], "perl -pie x", "block"),
        (["find"], "find . -name x", "allow"),
        (["find"], "find . -exec ls {} +", "block"),
        (["find"], "find . -delete", "block"),
        (["find -exec"], "find . -exec ls {} +", "allow"),
        (["find -exec"], "find . -exec ls {} + -delete", "block"),
        (["./run.sh"], "./run.sh x", "allow"),
        (["/opt/tool/bin/x"], "/opt/tool/bin/x", "allow"),
        (["x"], "/opt/tool/bin/x", "block"),
    ],
)
def test_a_program_that_runs_others_is_allowed_only_by_name_and_with_what_it_runs(
    allowed: list[str], command: str, wanted: str
) -> None:
    assert effect(CommandPolicy(allowed=allowed), command) == wanted


def test_what_a_wrapper_runs_may_need_a_person() -> None:
    policy = CommandPolicy(allowed=["timeout"], require_approval=["git push"])
    assert effect(policy, "timeout 60 git push") == "approval"


def test_commands_inside_commands_without_end_are_refused_quickly() -> None:
    policy = CommandPolicy(allowed=["env", "nice", "ls", "sh -c"], forbidden=["rm -rf"])
    start = time.process_time()
    assert policy.judge(["env"] * 30_000).effect is Effect.BLOCK
    assert policy.judge(["env", *["a b"] * 900]).effect is Effect.BLOCK
    nested = "ls"
    for _ in range(7):
        nested = shlex.join(["sh", "-c", nested])
    assert effect(policy, nested) == "block"
    assert effect(policy, "nice " * 12 + "ls") == "block"
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "lists",
    [
        {"allowed": "ls"},
        {"allowed": None},
        {"allowed": [""]},
        {"allowed": [7]},
        {"allowed": ["ls | wc"]},
        {"allowed": ["ls *"]},
        {"allowed": ["A=1 ls"]},
        {"forbidden": "rm -rf"},
        {"forbidden": ["  "]},
        {"require_approval": {"git push"}},
        {"on_unknown": "allow"},
    ],
)
def test_lists_that_make_no_sense_are_refused(lists: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        CommandPolicy(**lists)
    assert caught.value.code == "usage.commands"


def test_a_policy_keeps_its_lists_and_does_not_change_with_them() -> None:
    mine = ["ls"]
    policy = CommandPolicy(allowed=mine)
    mine.append("rm")
    assert policy.allowed == ("ls",)
    assert effect(policy, "rm x") == "block"
    assert policy == CommandPolicy(allowed=("ls",))


WORDS = st.sampled_from(
    ["git", "status", "push", "-s", "ls", "-rf", "rm", "--", "sudo", "a b", "", "-c", "sh", "statu"]
)


@given(st.lists(WORDS, max_size=6))
def test_an_allow_rule_matches_exactly_its_leading_words(argv: list[str]) -> None:
    policy = CommandPolicy(allowed=["git status", "ls -l", "made up"])
    if policy.judge(argv).allowed:
        assert argv[:2] in (["git", "status"], ["ls", "-l"])
    # Without a profile, whatever follows the words is covered.
    assert policy.judge(["made", "up", *argv]).allowed
    assert not policy.judge(["made", *argv]).allowed or argv[:1] == ["up"]


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=3))
def test_no_wrapping_makes_a_forbidden_command_allowed(before: list[str], after: list[str]) -> None:
    policy = CommandPolicy(
        allowed=["git", "ls", "rm", "sudo", "sh", "sh -c", "env", "timeout"],
        forbidden=["rm -rf"],
        require_approval=["git push"],
    )
    for wrapper in (["sudo"], ["env"], ["timeout", "5"], ["env", "sudo"]):
        assert policy.judge([*wrapper, *before, "rm", "-rf", *after]).effect is Effect.BLOCK
    assert policy.judge(["sh", "-c", shlex.join(["rm", "-rf", *after])]).effect is Effect.BLOCK


@pytest.mark.parametrize(
    "command",
    [
        *(
            "tar --use-compress-prog=rm -cf x y",
            "tar -cIrm -f x y",
            "tar cIf rm x y",
            "tar --checkpoint-act=exec=rm -cf x y",
        ),
        *("rsync -erm x y", "man -Prm x", "man --pag=rm x", "sort --outp=/etc/x y", "sort --compress-p=rm y"),
        *("make --ev=x", "make -E x", "go vet -vettool=x", "zip x y -T --unzip-comm=rm", "vim '+!rm' x"),
        *("sed -i.bak s/a/b/ f", "sed -ni p f", "sed --in-pl s/a/b/ f", "sed s/a/b/e f", "sed '1e rm x' f"),
        *("sed 'w /etc/x' f", "sed 'p;e id' f", "sed 's,a,b,gw x' f", "sed '1{e id\n}' f", "sed -l 5 '1e id' f"),
        *("awk 'BEGIN{system(\"rm x\")}'", "awk -F : 'BEGIN{system(1)}'", "awk --assign x=1 'BEGIN{system(1)}'"),
        *("awk '{print | \"sh\"}' f", "awk '{print > \"/etc/x\"}' f", "awk '@load \"x\"' f", "gawk -i x 1 f"),
    ],
)
def test_no_spelling_hides_that_a_program_without_a_profile_runs_another_or_writes(command: str) -> None:
    programs = ["tar", "rsync", "man", "sort", "make", "go", "zip", "vim", "sed", "awk", "gawk"]
    assert effect(CommandPolicy(allowed=programs), command) == "block"


@pytest.mark.parametrize(
    "command",
    [
        *(
            "tar -xzf x",
            "tar czf x y",
            "tar tvf x",
            "rsync -avz --delete a b",
            "man ls",
            "make -j4 all",
            "go vet ./...",
        ),
        *("sort -t, -k2,2nr f", "zip -r x y", "sed -n 1,5p f", "sed -E 's|[0-9]+|N|g' f", "sed '/^#/d' f"),
        *("sed ':a;N;$!ba;s/\\n/,/g' f", "sed -n '$=' f", "awk -F, '{s+=$3} END {print s}' f", "awk '$3 > 5' f"),
        *("awk -F '|' '{print $2}' f", "awk '/a|b/' f", "awk -v file=x '$1 == file' f"),
    ],
)
def test_what_only_looks_or_packs_goes_on_being_allowed(command: str) -> None:
    programs = ["tar", "rsync", "man", "sort", "make", "go", "zip", "sed", "awk"]
    assert effect(CommandPolicy(allowed=programs), command) == "allow"


@pytest.mark.parametrize(
    ("rule", "command"),
    [
        *(("npm publish", "npm pub"), ("npm publish", "npm --silent publ"), ("npm install", "npm i x")),
        *(("npm uninstall", "npm r x"), ("npm exec", "npm x y"), ("docker exec", "docker container exec x y")),
        *(("docker container exec", "docker exec x y"), ("docker rmi", "docker image rm x")),
        *(("docker image rm", "docker rmi x"), ("docker run --privileged", "docker container run --privileged x")),
    ],
)
def test_other_names_of_a_subcommand_are_forbidden_with_it(rule: str, command: str) -> None:
    policy = CommandPolicy(allowed=["npm", "docker"], forbidden=[rule])
    verdict = policy.judge(shlex.split(command))
    assert (verdict.effect.word, verdict.rule) == ("block", rule)
    assert (
        effect(CommandPolicy(allowed=["npm", "docker"], forbidden=["npm publish", "docker exec"]), "npm test")
        == "allow"
    )


def test_brackets_that_never_close_take_no_time() -> None:
    began = time.perf_counter()
    for pattern, wanted in (("[" * 15_000, "block"), ("*[" * 7_000, "block"), ("[a" * 7_000 + "]", "allow")):
        assert CommandPolicy(allowed=["ls"]).judge_text(f"ls {pattern}").effect.word == wanted
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "path",
    [
        *(".interlock/keys/links", ".interlock/interlock.db", "/srv/work/.interlock/vault.json", "~/.interlock/audit"),
        *("home/keys/links", "home/keys/audit.ed25519", "home/interlock.db-wal", "home/vault.key"),
    ],
)
def test_what_governs_agents_is_not_shown_to_them_even_without_a_sandbox(path: str) -> None:
    policy = CommandPolicy(allowed=["cat", "cp", "grep"])
    for command in (f"cat {path}", f"cp {path} x", f"grep -r x {path}"):
        assert policy.judge(command.split(), "/srv/work").effect.word == "block"
