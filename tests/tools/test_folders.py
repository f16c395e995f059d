"""However code nests its folders, they are walked and removed; nothing outside of them is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from interlock.tools.folders import remove, walk


def nested(folder: Path, deep: int) -> None:
    """A folder with folders in one another, deeper than a path can say, and a file in the last."""
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(deep):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def test_folders_nested_deeper_than_a_path_can_say_are_walked_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    nested(folder, 3_000)
    try:
        assert 1_000 < sum(1 for _ in walk(folder)) <= 3_001
    finally:
        remove(folder)
    assert os.listdir(tmp_path) == []


def test_a_walk_goes_from_the_top_in_the_order_it_is_given_and_passes_over_what_is_taken_away(tmp_path: Path) -> None:
    for name in ("b/c", "a/d", "skipped/e"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    found = []
    for above, folders, others in walk(tmp_path):
        folders[:] = sorted(name for name in folders if name != "skipped")
        found.append((os.path.relpath(above, tmp_path), others))
    assert found == [(".", []), ("a", []), ("a/d", ["file"]), ("b", []), ("b/c", ["file"])]


def test_what_links_lead_to_stays_as_it_is(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (outside / "mine").chmod(0o640)
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    (folder / "below" / "link").symlink_to(outside / "mine")
    (folder / "hard").hardlink_to(outside / "mine")
    os.mkfifo(folder / "pipe")
    (folder / "below").chmod(0o000)
    before = outside.stat().st_mode
    assert sum(1 for _ in walk(folder)) <= 2
    remove(folder)
    (tmp_path / "link").symlink_to(outside)
    remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "mine").read_text() == "mine"
    assert (outside.stat().st_mode, stat.S_IMODE((outside / "mine").stat().st_mode)) == (before, 0o640)


def test_names_like_those_of_folders_on_their_way_up_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("a/a/a", "b/a/a", "1/1", "1-1"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x")
    remove(folder)
    assert os.listdir(tmp_path) == []
