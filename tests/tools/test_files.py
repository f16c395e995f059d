"""Files of a workspace: whatever the path, nothing outside it is read or written."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools import files
from interlock.tools.files import MAX_ENTRIES, MAX_FILE, MAX_TEXT, Workspace, files_tools
from interlock.tools.function import FunctionTool
from interlock.tools.tool import Caller

CALLER = Caller(run_id="run-1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with something in it, beside something that is not in it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    root = tmp_path / "work"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "sub" / "b.txt").write_text("below")
    return root


def named(root: Path) -> dict[str, FunctionTool[..., Any]]:
    return {tool.spec.name: tool for tool in files_tools(root)}


async def use(root: Path, name: str, **arguments: Any) -> Any:
    tool = named(root)[name]
    return await tool.run(Permit(tool.act(arguments, CALLER), ALLOWED), CALLER)


async def fails(root: Path, name: str, **arguments: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await use(root, name, **arguments)
    return caught.value


def test_three_tools_with_their_schemas(root: Path) -> None:
    tools = named(root)
    assert list(tools) == ["files_read", "files_list", "files_write"]
    assert tools["files_write"].spec.parameters["required"] == ["path", "content"]
    assert tools["files_read"].spec.parameters["properties"]["start"]["default"] == 1
    act = tools["files_write"].act({"path": "x", "content": "y"}, CALLER)
    assert (act.kind, act.name, act.cwd) == ("tool", "files_write", str(root))
    assert act.arguments == {"path": "x", "content": "y"}


async def test_reading_gives_the_text_or_a_part_of_it(root: Path) -> None:
    whole = await use(root, "files_read", path="a.txt")
    assert whole == {"path": "a.txt", "text": "one\ntwo\nthree\n", "start": 1, "lines": 3, "truncated": False}
    part = await use(root, "files_read", path="./a.txt", start=2, lines=1)
    assert (part["text"], part["truncated"]) == ("two\n", True)
    assert (await use(root, "files_read", path=f"{root}/sub/b.txt"))["text"] == "below"


async def test_a_long_file_is_cut_and_a_strange_one_is_marked(root: Path) -> None:
    (root / "long").write_text("x" * (MAX_TEXT + 1))
    (root / "latin").write_bytes("caf\xe9".encode("latin-1"))
    assert (await use(root, "files_read", path="long"))["truncated"]
    strange = await use(root, "files_read", path="latin")
    assert (strange["text"], "not UTF-8" in strange["note"]) == ("caf\ufffd", True)


async def test_binary_and_giant_files_are_not_read(root: Path) -> None:
    (root / "binary").write_bytes(b"\x7fELF\0\0")
    with (root / "giant").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert "binary" in (await fails(root, "files_read", path="binary")).says
    assert "10,000,001 bytes" in (await fails(root, "files_read", path="giant")).says


async def test_listing_shows_names_types_and_sizes(root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    os.mkfifo(root / "pipe")
    (root / "odd\n\x1b[31mname").write_text("")
    found = await use(root, "files_list", depth=2)
    assert found["entries"] == [
        {"name": "a.txt", "type": "file", "size": 14},
        {"name": "link", "type": "link"},
        {"name": "odd name", "type": "file", "size": 0},
        {"name": "pipe", "type": "special"},
        {"name": "sub", "type": "directory"},
        {"name": "sub/b.txt", "type": "file", "size": 5},
    ]
    assert not found["truncated"]
    assert [entry["name"] for entry in (await use(root, "files_list", path="sub"))["entries"]] == ["b.txt"]


async def test_a_listing_has_an_end(root: Path) -> None:
    for number in range(MAX_ENTRIES + 5):
        (root / f"sub/{number}").touch()
    found = await use(root, "files_list", depth=8)
    assert (len(found["entries"]), found["truncated"]) == (MAX_ENTRIES, True)


async def test_writing_replaces_whole_files_and_makes_directories(root: Path) -> None:
    (root / "run.sh").write_text("old")
    (root / "run.sh").chmod(0o4755)
    assert await use(root, "files_write", path="new/deep/x", content="é") == {
        "path": "new/deep/x",
        "bytes": 2,
        "created": True,
    }
    assert (root / "new/deep/x").read_text() == "é"
    assert not (await use(root, "files_write", path="run.sh", content="new"))["created"]
    assert (root / "run.sh").read_text() == "new"
    assert (root / "run.sh").stat().st_mode & 0o7777 == 0o755, "executable as before, never setuid"
    assert sorted(os.listdir(root)) == ["a.txt", "new", "run.sh", "sub"], "no draft stays behind"


async def test_a_hard_link_to_a_file_outside_is_replaced_and_not_written_through(root: Path) -> None:
    os.link(root.parent / "outside/secret", root / "linked")
    await use(root, "files_write", path="linked", content="mine")
    assert (root.parent / "outside/secret").read_text() == "secret"


ESCAPES = ["../outside/secret", "sub/../../outside/secret", "..", "/etc/passwd", "~/x", "~root/x", "/", "//etc/passwd"]


@pytest.mark.parametrize("path", [*ESCAPES, "", "a\0b", "a\nb", "x" * 5_000])
@pytest.mark.parametrize("name", ["files_read", "files_list", "files_write"])
async def test_a_path_that_leads_out_is_refused(root: Path, name: str, path: str) -> None:
    more = {"content": "x"} if name == "files_write" else {}
    assert (await fails(root, name, path=path, **more)).code == "tool.arguments"


@pytest.mark.parametrize("path", ["file", "dir/secret", "dir/new", "up/outside/secret", "dangling", "self"])
@pytest.mark.parametrize("name", ["files_read", "files_write"])
async def test_no_symbolic_link_is_followed(root: Path, name: str, path: str) -> None:
    outside = root.parent / "outside"
    (root / "file").symlink_to(outside / "secret")
    (root / "dir").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "dangling").symlink_to(outside / "new")
    (root / "self").symlink_to("self")
    more = {"content": "overwritten"} if name == "files_write" else {}
    failed = await fails(root, name, path=path, **more)
    assert failed.code == "tool.file"
    assert "symbolic link" in failed.says
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


async def test_a_linked_directory_is_not_listed(root: Path) -> None:
    (root / "dir").symlink_to(root.parent / "outside")
    assert "symbolic link" in (await fails(root, "files_list", path="dir")).says
    assert "secret" not in str(await use(root, "files_list", depth=8))


@pytest.mark.parametrize(("real", "target", "path"), [("real", ".", "flip/secret"), ("real/secret", "secret", "flip")])
async def test_links_that_change_during_the_walk_lead_nowhere(root: Path, real: str, target: str, path: str) -> None:
    place, stop = root / "flip", threading.Event()
    (root / "real").mkdir()
    (root / "real/secret").write_text("harmless")

    def flip() -> None:
        while not stop.is_set():
            place.symlink_to(root.parent / "outside" / target)
            os.unlink(place)
            os.rename(root / real, place)
            os.rename(place, root / real)

    flipping = threading.Thread(target=flip)
    flipping.start()
    seen = set()
    workspace = Workspace(root)
    try:
        for _ in range(2_000):
            try:
                seen.add(workspace.read(path)["text"])
            except ToolFailed as failed:
                seen.add(failed.code)
    finally:
        stop.set()
        flipping.join()
    assert seen <= {"harmless", "tool.file"}


async def test_what_is_no_plain_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(root, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")  # a socket's own path has to be short
        os.close(here)
        for path, says in (("pipe", "pipe"), ("socket", "socket"), ("sub", "directory"), ("sub/", "directory")):
            assert says in (await fails(root, "files_read", path=path)).says
            assert says in (await fails(root, "files_write", path=path, content="x")).says
    assert "device" in (await fails(Path("/dev"), "files_read", path="zero")).says


@pytest.mark.parametrize(
    "path", [".git/config", "sub/.git/hooks/post-commit", ".GIT/config", "interlock.toml", ".interlock/x"]
)
async def test_what_configures_tools_is_never_written_even_before_it_exists(root: Path, path: str) -> None:
    assert "protected" in (await fails(root, "files_write", path=path, content="x")).says
    assert sorted(os.listdir(root)) == ["a.txt", "sub"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("files_read", {"path": "missing"}),
        ("files_read", {"path": "a.txt/x"}),
        ("files_read", {"path": "x" * 300}),
        ("files_list", {"path": "missing"}),
        ("files_list", {"path": "a.txt"}),
        ("files_write", {"path": "a.txt/x", "content": ""}),
        ("files_write", {"path": "x" * 300, "content": ""}),
        ("files_write", {"path": "big", "content": "x" * (MAX_FILE + 1)}),
    ],
)
async def test_what_does_not_work_says_why(root: Path, name: str, arguments: dict[str, Any]) -> None:
    failed = await fails(root, name, **arguments)
    assert failed.code == "tool.file"
    assert failed.do
    assert "Errno" not in failed.says


@pytest.mark.parametrize("arguments", [{"path": "a.txt", "start": 0}, {"path": "a.txt", "lines": 0}, {"path": 7}])
async def test_numbers_out_of_range_are_refused(root: Path, arguments: dict[str, Any]) -> None:
    assert (await fails(root, "files_read", **arguments)).code == "tool.arguments"
    assert (await fails(root, "files_list", depth=9)).code == "tool.arguments"


async def test_a_write_that_fails_half_way_leaves_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert "No space left" in (await fails(root, "files_write", path="a.txt", content="new")).says
    assert (root / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert sorted(os.listdir(root)) == ["a.txt", "sub"]


def test_a_workspace_must_be_a_directory(root: Path) -> None:
    with pytest.raises(UsageError):
        Workspace(root / "a.txt")


NAMES = st.sampled_from(["..", ".", "", "~", "sub", "a.txt", "link", "outside", "secret", "/", "x", ".git"])


@given(st.lists(NAMES, max_size=6).map("/".join), st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_reads_or_changes_anything_outside(root: Path, path: str, absolute: bool) -> None:
    if not (root / "link").is_symlink():
        (root / "link").symlink_to(root.parent / "outside")
    workspace = Workspace(root)
    path = f"{root}/{path}" if absolute else path
    for call in (lambda: workspace.read(path), lambda: workspace.entries(path), lambda: workspace.write(path, "mine")):
        try:
            found = call()
        except ToolFailed:
            continue
        assert "secret" not in str(found.get("text"))
    assert sorted(os.listdir(root.parent)) == ["outside", "work"]
    assert (root.parent / "outside/secret").read_text() == "secret"
    assert os.listdir(root.parent / "outside") == ["secret"]


@pytest.fixture
def guarded(root: Path) -> dict[str, FunctionTool[..., Any]]:
    """The tools of a workspace with a store, a settings file and a key file in it, some by several names."""
    (root / "state" / "deep").mkdir(parents=True)
    (root / "state" / "interlock.db").write_text("facts")
    (root / "state" / "deep" / "x").write_text("x")
    (root / "conf").mkdir()
    (root / "conf" / "prod.toml").write_text("[commands]")
    (root / "key.txt").write_text("secret")
    os.link(root / "key.txt", root / "sub" / "innocent")
    os.link(root / "state" / "deep" / "x", root / "sub" / "also-innocent")
    os.link(root / "a.txt", root / "sub" / "a-again")
    (root / "way").symlink_to(root / "conf")
    made = files_tools(root, [root / "state", root / "way" / "prod.toml", root / "key.txt", root / "later.key"])
    return {tool.spec.name: tool for tool in made}


@pytest.mark.parametrize(
    "path",
    [
        *("key.txt", "./key.txt", "sub/innocent", "sub/also-innocent", "conf/prod.toml", "later.key", "LATER.KEY"),
        *("state/interlock.db", "state/interlock.db-wal", "state/deep/x", "state/new/x", "sub/..hidden/../key.txt"),
    ],
)
async def test_what_is_protected_is_neither_read_nor_written_by_any_name(
    root: Path, guarded: dict[str, FunctionTool[..., Any]], path: str
) -> None:
    before = {file: file.read_text() for file in root.rglob("*") if file.is_file()}
    for name, arguments in (("files_read", {"path": path}), ("files_write", {"path": path, "content": "gone"})):
        used = guarded[name]
        with pytest.raises(ToolFailed) as caught:
            await used.run(Permit(used.act(arguments, CALLER), ALLOWED), CALLER)
        assert caught.value.code in ("tool.file", "tool.arguments")
    assert {file: file.read_text() for file in root.rglob("*") if file.is_file()} == before
    assert not (root / "state" / "new").exists()


async def test_what_is_not_protected_is_read_and_written_beside_it(
    root: Path, guarded: dict[str, FunctionTool[..., Any]]
) -> None:
    async def done(name: str, **arguments: Any) -> Any:
        return await guarded[name].run(Permit(guarded[name].act(arguments, CALLER), ALLOWED), CALLER)

    assert (await done("files_read", path="sub/a-again"))["text"].startswith("one")
    assert (await done("files_write", path="conf/other.toml", content="x"))["created"]
    assert (await done("files_write", path="sub/state/x", content="x"))["created"]
    listed = {entry["name"] for entry in (await done("files_list", depth=2))["entries"]}
    assert {"key.txt", "state", "state/interlock.db", "conf/prod.toml"} <= listed


async def test_a_protected_file_that_was_replaced_is_still_protected(
    root: Path, guarded: dict[str, FunctionTool[..., Any]]
) -> None:
    (root / "fresh").write_text("new secret")
    os.replace(root / "fresh", root / "key.txt")
    os.link(root / "key.txt", root / "sub" / "another")
    used = guarded["files_read"]
    for path in ("key.txt", "sub/another"):
        with pytest.raises(ToolFailed, match="protected"):
            await used.run(Permit(used.act({"path": path}, CALLER), ALLOWED), CALLER)
