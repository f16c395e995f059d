"""The documents say what the code says: nothing stale, nothing missing, no dead link, and every snippet runs."""

from __future__ import annotations

import ast
import base64
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from interlock.cli.app import AGENT, CONFIG, POLICY, ROOT, RUN, TOPICS, tree
from interlock.errors import BY_CODE
from interlock.governance.policy_file import parse_policy
from interlock.platform.settings import load
from interlock.records.fact import KINDS

HOUSE = Path(__file__).resolve().parents[1]
REFERENCE = HOUSE / "docs" / "reference"
PAGES = sorted([*HOUSE.glob("*.md"), *(HOUSE / "docs").rglob("*.md"), HOUSE / "bench" / "README.md"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def _named(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def _blocks(language: str) -> list[tuple[Path, str]]:
    return [(page, code) for page in PAGES for found, code in BLOCK.findall(page.read_text()) if found == language]


SNIPPETS = {f"{_named(page)}-{number}": code for number, (page, code) in enumerate(_blocks("python"))}


def test_the_generated_pages_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(HOUSE / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_relative_link_resolves(page: Path) -> None:
    text = BLOCK.sub("", page.read_text())
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            dead.append(link)
    assert dead == []


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", SNIPPETS)
def test_every_python_snippet_runs_without_a_key(name: str, tmp_path: Path) -> None:
    done = _run(SNIPPETS[name], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_readmes_snippet_prints_what_it_says_and_a_second_run_does_nothing_again(tmp_path: Path) -> None:
    code = next(code for page, code in _blocks("python") if page.name == "README.md")
    said = re.findall(r"# (completed .*)$", code, re.M)
    code = code.replace("lambda text:", "lambda text: open('calls', 'a').write('.') and")
    for _ in range(2):
        assert _run(code, tmp_path).stdout.splitlines() == said
    assert (tmp_path / "calls").read_text() == "."


def _run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a folder of its own, with nothing of this environment but the search path."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    words = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(words, cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", range(len(_blocks("toml"))))
def test_every_settings_snippet_is_good(number: int, tmp_path: Path) -> None:
    page, text = _blocks("toml")[number]
    if text.startswith("# policy.toml\n"):
        assert parse_policy(text).rules, _named(page)
        return
    (tmp_path / "interlock.toml").write_text(text)
    assert load(environ={}, cwd=tmp_path).file == tmp_path / "interlock.toml", _named(page)


def test_the_readmes_commands_end_as_it_says(tmp_path: Path) -> None:
    """Each is run in a folder with the README's own policy file; what needs the id of something real is left out."""
    readme = (HOUSE / "README.md").read_text()
    blocks = [code for language, code in BLOCK.findall(readme) if language == "sh"]
    (tmp_path / "policy.toml").write_text(next(code for code in BLOCK.findall(readme) if code[0] == "toml")[1])
    (tmp_path / "vault.key").write_text(base64.urlsafe_b64encode(bytes(32)).decode())
    (tmp_path / "vault.key").chmod(0o600)
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "MAIL_KEY": "much-secret",
    }
    env["INTERLOCK_VAULT__KEY_FILE"] = str(tmp_path / "vault.key")
    wrong = []
    for line in "".join(blocks).splitlines():
        command, _, says = line.partition("  # ")
        if " ID" in command:
            continue
        said = re.search(r"; exit code (\d)", says)
        words = shlex.split(command)
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        word = re.match(r" *(allow|approval|block)\b", says)
        if done.returncode != int(said[1] if said else 0) or (word and f"verdict\t{word[1]}" not in done.stdout):
            wrong.append((command, done.returncode, done.stdout, done.stderr))
    assert wrong == []


def test_the_readme_leads_to_every_how_to() -> None:
    readme = (HOUSE / "README.md").read_text()
    pages = sorted((HOUSE / "docs" / "how-to").glob("*.md"))
    assert [page.name for page in pages if f"(docs/how-to/{page.name})" not in readme] == []


def test_every_error_code_is_documented() -> None:
    text = (REFERENCE / "errors.md").read_text()
    assert [code for code in sorted({*BY_CODE, *_raised()}) if f"`{code}`" not in text] == []


def _raised() -> Iterator[str]:
    """Every literal `code="..."` of the source."""
    for path in (HOUSE / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                yield str(node.value.value)


def test_every_setting_and_its_variable_are_documented(tmp_path: Path) -> None:
    text = (REFERENCE / "settings.md").read_text()
    missing = []
    for key, _, _ in load(environ={}, cwd=tmp_path).entries():
        table, _, rest = key.partition(".")
        if table == "keys":
            continue
        if table in ("providers", "agents"):
            key = f"{table}.NAME.{rest.partition('.')[2]}"
        variable = "INTERLOCK_" + key.replace(".", "__").upper()
        missing += [name for name in (key, variable) if f"`{name}`" not in text]
    assert missing == []


def test_every_kind_of_fact_is_documented_with_its_fields() -> None:
    text = (REFERENCE / "facts.md").read_text()
    for kind, cls in KINDS.items():
        section = text.partition(f"## `{kind}`\n")[2].partition("\n## ")[0]
        assert [name for name in cls.__slots__ if f"`{name}`" not in section] == [], kind


def test_every_command_and_each_of_its_options_is_documented() -> None:
    text = (REFERENCE / "cli.md").read_text()
    everywhere = text.partition("## `interlock`\n")[2].partition("\n## ")[0]
    for words, command in _commands(("interlock",), tree):
        section = text.partition(f"## `{' '.join(words)}`\n")[2].partition("\n## ")[0]
        options = [option for one in command.params if isinstance(one, click.Option) for option in one.opts]
        assert section, " ".join(words)
        assert [option for option in options if option not in section + everywhere] == [], " ".join(words)


def _commands(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _commands((*words, name), below)


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_no_page_names_a_command_that_is_not_there(page: Path) -> None:
    nouns: Mapping[str, Mapping[str, object]] = {
        "run": RUN,
        "policy": POLICY,
        "agent": AGENT,
        "config": CONFIG,
        "help": TOPICS,
    }
    wrong = []
    # On one line, in code: after a backtick, at the beginning of a line, or after a prompt.
    for noun, verb in re.findall(r"(?:`|^|\$ )interlock ([a-z]+)(?: ([a-z-]+))?", page.read_text(), re.M):
        if noun not in ROOT or (noun in nouns and verb and verb not in nouns[noun]):
            wrong.append(f"interlock {noun} {verb}")
    assert wrong == []


@pytest.mark.parametrize("page", sorted((HOUSE / "docs" / "decisions").glob("*.md")), ids=_named)
def test_a_decision_is_short_and_says_what_it_must(page: Path) -> None:
    text = page.read_text()
    assert text.count("\n") <= 60
    assert text.startswith(f"# {page.name[:4]} ")
    heads = ["## What we gave up", "## How we will know that it was wrong"]
    assert [head for head in heads if head not in text] == []


def test_the_page_for_agents_is_short() -> None:
    assert (HOUSE / "AGENTS.md").read_text().count("\n") <= 80


def test_every_dependency_has_its_reason_written_down() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    groups = [project["project"]["dependencies"], *extras.values(), project["dependency-groups"]["dev"]]
    asked = [one for group in groups for one in group]
    names = {re.split(r"[\[<>=~! ]", one)[0] for one in asked} - {"interlock"}
    text = (HOUSE / "docs" / "decisions" / "0005-dependencies.md").read_text()
    assert [name for name in sorted(names) if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)] == []


def test_every_make_word_that_a_page_names_exists() -> None:
    words = set(re.findall(r"^([a-z]+):", (HOUSE / "Makefile").read_text(), re.M))
    named = {
        (_named(page), word) for page in PAGES for word in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.M)
    }
    assert [one for one in sorted(named) if one[1] not in words] == []
