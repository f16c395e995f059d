"""Segments arrive whole, once, and unchanged: in folders, in a real object store, in the logger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import AuditFailed, SettingsError, UsageError
from interlock.governance.audit.follower import Follower, Notary, Shipper
from interlock.governance.audit.log import Anchor
from interlock.governance.audit.places import kept_checkpoints, verify_place
from interlock.governance.audit.sinks import (
    FolderSink,
    LoggerSink,
    ObjectSink,
    Segment,
    object_store,
    open_sink,
    segments_in,
)
from interlock.stores.audit_chain import read_mark
from interlock.stores.sqlite_file import open_reader
from tests.governance.audit_rig import AuditedHome, fill, finish
from tests.object_server import ObjectServer, object_server


@pytest.fixture(scope="module")
def objects() -> Iterator[ObjectServer]:
    with object_server() as server:
        server.start()
        yield server


def stored(server: ObjectServer, prefix: str) -> dict[str, bytes]:
    import obstore

    store = object_store(f"{server.address}/{prefix}", server.options)
    names = [entry["path"] for page in obstore.list(store) for entry in page]
    return {name: bytes(obstore.get(store, name).bytes()) for name in sorted(names)}


def cursor(home: AuditedHome, name: str) -> int:
    db = open_reader(home.store)
    try:
        return read_mark(db, name).n
    finally:
        db.close()


async def ship(home: AuditedHome, sink: Any) -> None:
    journal = home.journal()
    try:
        await finish(Shipper(home.followers_home(journal), sink, interval=0, limit=10))
    finally:
        await journal.close()


async def test_a_folder_gets_sealed_segments_that_verify_by_themselves(tmp_path: Path) -> None:
    home, sink = AuditedHome(tmp_path), FolderSink(tmp_path / "out")
    await home.write(5, sink=sink)
    await home.write(3, sink=sink)
    segments = list(segments_in(tmp_path / "out"))
    assert [(first, last) for first, last, _ in segments] == [(1, 5), (6, 8)]
    assert [path.name for _, _, path in segments] == [
        "segment-000000000001-000000000005.jsonl",
        "segment-000000000006-000000000008.jsonl",
    ]
    keys, kept = home.keys.verifiers(), kept_checkpoints(home.kept)[0]
    assert verify_place(str(tmp_path / "out"), keys, checkpoints=kept).report.findings == []
    # A later segment alone can be checked too: it says what stands for the entries before it.
    alone = verify_place(str(segments[1][2]), keys).report
    assert (alone.findings, alone.first, alone.last, alone.signed) == ([], 6, 8, 8)


async def test_a_missing_or_changed_segment_is_found(tmp_path: Path) -> None:
    home, sink = AuditedHome(tmp_path), FolderSink(tmp_path / "out")
    for _ in range(3):
        await home.write(4, sink=sink)
    paths = [path for _, _, path in segments_in(tmp_path / "out")]
    keys, kept = home.keys.verifiers(), kept_checkpoints(home.kept)[0]

    def found() -> set[str]:
        return {one.kind for one in verify_place(str(tmp_path / "out"), keys, checkpoints=kept).report.findings}

    content = [path.read_bytes() for path in paths]
    paths[1].write_bytes(content[1].replace(b"note 1", b"note 2"))
    assert {"chain", "rewritten"} <= found()
    paths[1].unlink()
    assert "missing" in found()
    paths[1].write_bytes(content[1])
    assert found() == set()
    paths[2].unlink()
    assert found() == {"cut"}


async def test_several_logs_in_one_place_are_told_apart(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "out")
    for name in ("one", "two"):
        await AuditedHome(tmp_path / name).write(3, sink=sink)
    with pytest.raises(UsageError) as caught:
        verify_place(str(tmp_path / "out"), AuditedHome(tmp_path / "one").keys.verifiers())
    assert caught.value.code == "usage.audit_place"
    (folder, _) = sorted((tmp_path / "out").iterdir(), key=lambda path: path.name not in _log_of(tmp_path / "one"))
    assert verify_place(str(folder), AuditedHome(tmp_path / "one").keys.verifiers()).report.ok


def _log_of(folder: Path) -> str:
    return AuditedHome(folder).keys.verifiers()[0].name.replace("/", "-")


async def test_an_object_store_gets_each_segment_once(tmp_path: Path, objects: ObjectServer) -> None:
    home = AuditedHome(tmp_path)
    address = f"{objects.address}/once"
    for count in (5, 3):
        await home.write(count, sink=ObjectSink(address, objects.options))
    names = stored(objects, "once")
    assert [name.rpartition("/")[2] for name in names] == [
        "segment-000000000001-000000000005.jsonl",
        "segment-000000000006-000000000008.jsonl",
    ]
    kept = kept_checkpoints(home.kept)[0]
    report = verify_place(address, home.keys.verifiers(), checkpoints=kept, options=objects.options).report
    assert (report.findings, report.last, report.signed) == ([], 8, 8)


class DiesAfterPut:
    """A sink whose process dies when the segment is there and nobody knows it yet."""

    def __init__(self, sink: ObjectSink) -> None:
        self.name = sink.name
        self._sink = sink

    def put(self, log: str, segment: Segment) -> None:
        self._sink.put(log, segment)
        raise OSError("killed")


async def test_a_restart_after_a_crash_sends_the_very_same_segment_again(tmp_path: Path, objects: ObjectServer) -> None:
    home = AuditedHome(tmp_path)
    sink = ObjectSink(f"{objects.address}/crash", objects.options)
    await home.write(5)
    journal = home.journal()
    dying = Shipper(home.followers_home(journal), DiesAfterPut(sink), interval=0, limit=10)
    dying.wake()
    assert not await asyncio.to_thread(dying.close, 30)
    await journal.close()
    assert len(stored(objects, "crash")) == 1
    assert cursor(home, sink.name) == 0
    await home.write(4)  # more has come since; the segment that was begun keeps its end all the same
    await ship(home, sink)
    assert [name.rpartition("-")[2] for name in stored(objects, "crash")] == [
        "000000000005.jsonl",
        "000000000009.jsonl",
    ]
    assert cursor(home, sink.name) == 9


async def test_segments_that_overlap_are_no_finding_when_they_agree(tmp_path: Path, objects: ObjectServer) -> None:
    home = AuditedHome(tmp_path)
    sink = ObjectSink(f"{objects.address}/overlap", objects.options)
    await home.write(5, sink=sink)
    await home.write(4)
    home.tamper("DELETE FROM audit_marks WHERE name = ?", sink.name)  # a store restored from before it was sent
    await ship(home, sink)
    assert len(stored(objects, "overlap")) == 2
    kept = kept_checkpoints(home.kept)[0]
    address = f"{objects.address}/overlap"
    report = verify_place(address, home.keys.verifiers(), checkpoints=kept, options=objects.options).report
    assert (report.findings, report.twice, report.last) == ([], 5, 9)


@pytest.mark.parametrize("kind", ["folder", "objects"])
async def test_what_is_there_is_never_overwritten(tmp_path: Path, objects: ObjectServer, kind: str) -> None:
    home = AuditedHome(tmp_path)
    sink = FolderSink(tmp_path / "out") if kind == "folder" else ObjectSink(f"{objects.address}/own", objects.options)
    await home.write(3, sink=sink)
    segment = Segment.seal(Anchor(), home.rows(), home.keys.signer())
    log = home.keys.verifiers()[0].name
    sink.put(log, segment)  # the same again
    with pytest.raises(AuditFailed) as caught:
        sink.put(log, replace(segment, content=segment.content + b"x"))
    assert caught.value.code == "audit.sink_conflict"
    sink.put(log, segment)


async def test_what_was_changed_in_the_store_is_not_sent(tmp_path: Path) -> None:
    home, sink = AuditedHome(tmp_path), FolderSink(tmp_path / "out")
    await home.write(5)
    home.tamper("UPDATE audit SET body = replace(body, 'note 3', 'note 4') WHERE n = 4")
    journal = home.journal()
    shipper = Shipper(home.followers_home(journal), sink, interval=0, limit=10)
    shipper.wake()
    assert not await asyncio.to_thread(shipper.close, 30)
    await journal.close()
    assert "Entry 4" in shipper.trouble
    assert list(segments_in(tmp_path / "out")) == []


async def test_the_logger_gets_a_line_for_each_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = AuditedHome(tmp_path)
    with caplog.at_level(logging.INFO, logger="interlock.audit"):
        await home.write(3, sink=LoggerSink())
    bodies = [body for _, _, body in home.rows()]
    assert [line for line in caplog.messages if line.startswith("{")] == bodies
    assert any(line.startswith("audit.checkpoint_signed size=3 root=") for line in caplog.messages)


@pytest.mark.parametrize("destination", ["", "  ", "ftp://somewhere/logs", "s3://"])
def test_a_destination_that_cannot_be_is_said_at_once(destination: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_sink(destination)
    assert caught.value.code == "settings.audit_destination"


def test_a_file_is_no_folder_for_segments(tmp_path: Path) -> None:
    (tmp_path / "audit.log").touch()
    with pytest.raises(SettingsError):
        open_sink(str(tmp_path / "audit.log"))
    assert open_sink("store") is None


# --- Followers ----------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class Broken:
    """A sink that fails until it is repaired."""

    name = "broken"

    def __init__(self, folder: Path) -> None:
        self.works = False
        self._sink = FolderSink(folder)

    def put(self, log: str, segment: Segment) -> None:
        if not self.works:
            raise OSError("no such host")
        self._sink.put(log, segment)


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_follower_says_how_long_it_has_been_behind_until_it_works_again(tmp_path: Path) -> None:
    home, clock, sink = AuditedHome(tmp_path), Clock(), Broken(tmp_path / "out")
    journal = home.journal()
    shipper = Shipper(home.followers_home(journal), sink, interval=0, limit=10, now=clock)
    journal.followed_by(shipper.wake, lambda: None)
    assert shipper.behind() == 0
    await fill(journal, 3)
    await until(lambda: shipper.trouble)
    clock.at = 25
    assert shipper.behind() == 25
    sink.works = True
    await until(lambda: shipper.behind() == 0)
    assert shipper.trouble == ""
    assert [(first, last) for first, last, _ in segments_in(tmp_path / "out")] == [(1, 3)]
    assert await asyncio.to_thread(shipper.close, 10)
    await journal.close()


async def test_two_followers_of_one_log_do_its_work_once(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    first, second = home.journal(), home.journal()
    followers: list[Follower] = []
    for journal in (first, second):
        sink = FolderSink(tmp_path / "out")
        followers += [
            Shipper(home.followers_home(journal), sink, interval=0, limit=10),
            Notary(home.followers_home(journal), limit=10),
        ]
    await fill(first, 5)
    for follower in followers:
        follower.wake()
    done = await asyncio.gather(*(asyncio.to_thread(follower.close, 30) for follower in followers))
    assert all(done)
    await first.close()
    await second.close()
    assert [(one, last) for one, last, _ in segments_in(tmp_path / "out")] == [(1, 5)]
    assert [one.size for one in kept_checkpoints(home.kept)[0]] == [5]


async def test_a_checkpoint_is_signed_after_256_entries_or_a_minute(tmp_path: Path) -> None:
    home, clock = AuditedHome(tmp_path), Clock()
    journal = home.journal()
    notary = Notary(home.followers_home(journal), limit=10, now=clock)
    journal.followed_by(notary.wake, lambda: None)
    await fill(journal, 256)
    await until(lambda: cursor(home, "checkpoints") == 256)
    await fill(journal, 3)
    assert cursor(home, "checkpoints") == 256
    clock.at = 61
    await until(lambda: cursor(home, "checkpoints") == 259)
    assert await asyncio.to_thread(notary.close, 10)
    await journal.close()
    assert home.verify().findings == []
