"""Checkpoints are signed notes that others can read, and whatever is changed in one is noticed."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import AuditFailed, UsageError
from interlock.governance.audit.checkpoint import (
    KeyFiles,
    PublicKey,
    Signer,
    read_checkpoint,
    read_checkpoints,
    written,
)

#: The example of Go's sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SIGNER = Signer("log.example/1", bytes(32))
NOTE = SIGNER.sign(7, bytes(range(32)))


def test_a_key_is_written_as_gos_signed_notes_write_it() -> None:
    key = PublicKey.read(PETER)
    assert (key.name, key.id.hex(), str(key)) == ("PeterNeumann", "c74f20a3", PETER)


def test_a_checkpoint_is_origin_size_root_and_signature() -> None:
    text, _, signature = NOTE.note.partition("\n\n")
    assert text.split("\n") == ["log.example/1", "7", base64.b64encode(bytes(range(32))).decode()]
    assert signature.startswith("— log.example/1 ")
    assert signature.count("\n") == 1
    assert SIGNER.public.accepts(NOTE)
    assert PublicKey.read(str(SIGNER.public)).accepts(read_checkpoint(NOTE.note))


@given(st.integers(0, len(NOTE.note) - 1), st.sampled_from("0A+/ \n—z"))
def test_a_checkpoint_with_another_character_is_not_accepted(at: int, character: str) -> None:
    forged = NOTE.note[:at] + character + NOTE.note[at + 1 :]
    if forged == NOTE.note:
        return
    try:
        read = read_checkpoint(forged)
    except UsageError:
        return
    # Some of the last bits of base64 mean nothing; then the checkpoint says the same and is signed the same.
    assert not SIGNER.public.accepts(read) or (read.size, read.root, read.origin) == (NOTE.size, NOTE.root, NOTE.origin)


def test_what_a_checkpoint_says_must_be_what_was_signed() -> None:
    for forged in (replace(NOTE, size=8), replace(NOTE, root=bytes(32)), replace(NOTE, origin="log.example/2")):
        assert not SIGNER.public.accepts(forged)


def test_another_logs_key_and_another_logs_name_are_not_accepted() -> None:
    other = Signer("log.example/1", b"\x01" * 32)
    assert not other.public.accepts(NOTE)
    assert not SIGNER.public.accepts(other.sign(7, bytes(range(32))))
    assert not SIGNER.public.accepts(Signer("log.example/2", bytes(32)).sign(7, bytes(32)))


@pytest.mark.parametrize(
    "text", ["", "name", "name+00000000+AA==", PETER.replace("c74f", "c74e"), PETER[:-4], "a b+1+2"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        PublicKey.read(text)
    assert caught.value.code == "usage.audit_key"


def test_a_file_of_checkpoints_is_read_whole_and_what_is_none_is_counted() -> None:
    second = SIGNER.sign(9, bytes(32))
    assert read_checkpoints(written([NOTE, second])) == ([NOTE, second], 0)
    torn = written([NOTE]) + second.note[:50] + "\n" + written([second])
    assert read_checkpoints(torn) == ([NOTE, second], 3)
    assert read_checkpoints("nothing\nof it\n") == ([], 2)


def test_the_key_is_made_once_readable_by_its_owner_and_stays(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path / "keys")
    assert files.verifiers() == []
    first = files.signer()
    assert stat.S_IMODE(files.private.stat().st_mode) == 0o600
    assert str(files.signer().public) == str(first.public) == str(files.verifiers()[0])
    assert sorted(path.name for path in files.private.parent.iterdir()) == ["audit.ed25519", "audit.ed25519.pub"]


def test_many_that_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: str(KeyFiles(tmp_path / "keys").signer().public), range(8)))
    assert len(set(made)) == 1


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path / "keys")
    files.signer()
    files.private.write_text("PRIVATE+KEY+half")
    with pytest.raises(AuditFailed) as caught:
        files.signer()
    assert caught.value.code == "audit.key"
    assert files.private.read_text() == "PRIVATE+KEY+half"
    os.unlink(files.public)
    files.public.write_text("nothing")
    with pytest.raises(UsageError):
        files.verifiers()
