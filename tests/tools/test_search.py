"""Agents find passages in a folder's files by their words, and nothing outside it or out of bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools.search import FolderIndex, file_search_tool
from interlock.tools.tool import Caller


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "docs"
    (home / "deep").mkdir(parents=True)
    (home / "a.md").write_text("# Refunds\n\nCustomers get refunds within 14 days.\n")
    (home / "deep" / "b.txt").write_text("Shipping takes three days.\nRefunds take longer abroad.\n")
    (home / "image.bin").write_bytes(b"refunds\0\1\2")
    (home / "paper.pdf").write_bytes(b"%PDF-1.7 refunds \xff\xfe")  # its words are packed away, what is not is no text
    return home


def paths(found: dict[str, object]) -> list[str]:
    return [one["path"] for one in found["results"]]  # type: ignore[attr-defined,index]


def test_passages_are_found_by_their_words_with_file_and_line(folder: Path) -> None:
    found = FolderIndex(folder).search("customers refunds")
    assert found["results"] == [{"path": "a.md", "line": 1, "text": found["results"][0]["text"]}]
    assert "14 days" in found["results"][0]["text"]


def test_any_word_will_do_where_not_all_are_found(folder: Path) -> None:
    assert paths(FolderIndex(folder).search("shipping refunds nowhere")) == ["deep/b.txt", "a.md"]


def test_what_has_changed_is_found_and_what_has_gone_is_not(folder: Path) -> None:
    index = FolderIndex(folder)
    assert paths(index.search("penguins")) == []
    (folder / "new.txt").write_text("Penguins live here.")
    os.remove(folder / "a.md")
    assert paths(index.search("penguins")) == ["new.txt"]
    assert paths(index.search("customers")) == []


@pytest.mark.parametrize("query", ["AND OR NOT", "body:x*", "a NEAR(b)", "'; DROP TABLE texts", "refunds*"])
def test_nothing_in_a_question_is_an_operator(folder: Path, query: str) -> None:
    index = FolderIndex(folder)
    assert isinstance(paths(index.search(query)), list)
    assert paths(index.search("shipping")) == ["deep/b.txt"]


def test_a_question_without_words_is_told_so(folder: Path) -> None:
    with pytest.raises(ToolFailed, match="no words"):
        FolderIndex(folder).search('"*"')


def test_links_and_protected_files_are_not_read(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("penguins in secret")
    (folder / "link.txt").symlink_to(secret)
    (folder / "key.txt").write_text("penguins are the key")
    os.link(folder / "key.txt", folder / "other name.txt")
    assert paths(FolderIndex(folder, [folder / "key.txt"]).search("penguins")) == []


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        FolderIndex(tmp_path / "nothing")


async def test_it_is_a_tool_that_models_can_call(folder: Path) -> None:
    tool = file_search_tool(folder)
    act = tool.act({"query": "shipping"}, Caller())
    assert paths(await tool.run(Permit(act, ALLOWED), Caller())) == ["deep/b.txt"]
