"""Who is alive: told by the kernel, at once, and not confused by others who ask."""

from __future__ import annotations

import fcntl
from pathlib import Path

from interlock.stores.liveness import Liveness


def test_an_owner_is_alive_while_its_lock_is_held(tmp_path: Path) -> None:
    one, two = Liveness(tmp_path, "one"), Liveness(tmp_path, "two")
    assert two.alive("one")
    assert one.alive("one")
    one.close()
    one.close()
    assert not two.alive("one")
    two.close()


def test_someone_who_never_was_is_not_alive(tmp_path: Path) -> None:
    one = Liveness(tmp_path, "one")
    assert not one.alive("nobody")
    assert not one.alive("")
    one.close()


def test_two_who_ask_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    one = Liveness(tmp_path, "one")
    (tmp_path / "dead.lock").touch()
    with (tmp_path / "dead.lock").open("r+") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as `alive` of another process does
        assert not one.alive("dead")
    one.close()


def test_the_lock_file_of_a_dead_owner_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "dead.lock").touch()
    one = Liveness(tmp_path, "one")
    assert not one.alive("dead")
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_knows_only_its_own(tmp_path: Path) -> None:
    one = Liveness(None, "one")
    assert one.alive("one")
    assert not one.alive("two")
    one.close()
