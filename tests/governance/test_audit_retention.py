"""Old entries go, and the chain stays whole: what stands for them stays, and is signed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock.governance.audit.places import kept_checkpoints, verify_place
from interlock.governance.audit.retention import Plan, plan, remove
from interlock.governance.audit.sinks import FolderSink, segments_in
from interlock.stores.audit_chain import take_away
from interlock.stores.sqlite_file import open_reader
from tests.governance.audit_rig import AuditedHome

SINK = "out"


@pytest.fixture
async def home(tmp_path: Path) -> AuditedHome:
    """Ten entries of each of three times, each signed and sent."""
    made = AuditedHome(tmp_path)
    for at in (1_000.0, 2_000.0, 3_000.0):
        made.at = at
        await made.write(10, sink=FolderSink(tmp_path / SINK))
    return made


def decide(home: AuditedHome, before: float, folder: Path | None = None, sinks: tuple[str, ...] = ()) -> Plan:
    db = open_reader(home.store)
    try:
        kept = kept_checkpoints(home.kept)[0]
        return plan(db, before=before, checkpoints=kept, keys=home.keys.verifiers(), sinks=sinks, folder=folder)
    finally:
        db.close()


async def carry_out(home: AuditedHome, decided: Plan) -> None:
    journal = home.journal()
    anchor = decided.anchor
    if anchor is not None:
        await journal.change(lambda db: take_away(db, anchor))
    remove(decided.segments)
    await journal.close()


async def test_what_is_old_and_signed_goes_and_the_rest_still_verifies(home: AuditedHome, tmp_path: Path) -> None:
    decided = decide(home, 2_500.0, tmp_path / SINK)
    assert (decided.entries, len(decided.segments)) == (20, 2)
    await carry_out(home, decided)
    report = home.verify()
    assert (report.findings, report.first, report.last, report.signed) == ([], 21, 30, 30)
    assert report.notes == ["20 facts are older than the first entry, and have none."]
    assert [(first, last) for first, last, _ in segments_in(tmp_path / SINK)] == [(21, 30)]
    kept = kept_checkpoints(home.kept)[0]
    assert verify_place(str(tmp_path / SINK), home.keys.verifiers(), checkpoints=kept).report.findings == []


async def test_the_log_goes_on_after_the_anchor_even_when_nothing_is_left(home: AuditedHome) -> None:
    await carry_out(home, decide(home, 9_000.0))
    assert home.rows() == []
    home.at = 4_000.0
    await home.write(5)
    report = home.verify()
    assert (report.findings, report.first, report.last, report.signed) == ([], 31, 35, 35)


async def test_what_was_tampered_with_after_retention_is_found(home: AuditedHome) -> None:
    await carry_out(home, decide(home, 1_500.0))
    home.tamper("DELETE FROM audit WHERE n <= 12")
    assert {one.kind for one in home.verify().findings} == {"missing"}


async def test_what_no_checkpoint_covers_stays(home: AuditedHome) -> None:
    home.at = 1_000.0
    await home.write(5, sign=False)
    assert decide(home, 9_000.0).entries == 30
    kept = kept_checkpoints(home.kept)[0]
    home.kept.write_text(f"{kept[0].note}\n")
    assert decide(home, 9_000.0).entries == 10
    home.kept.unlink()
    assert decide(home, 9_000.0) == Plan(anchor=None, entries=0, segments=[])


async def test_what_a_sink_has_not_had_stays(home: AuditedHome) -> None:
    assert decide(home, 9_000.0, sinks=("a-sink-that-never-got-anything",)).entries == 0


async def test_the_newest_segment_stays_however_old_it_is(home: AuditedHome, tmp_path: Path) -> None:
    assert len(decide(home, 9_000.0, tmp_path / SINK).segments) == 2


async def test_what_is_young_stays(home: AuditedHome, tmp_path: Path) -> None:
    assert decide(home, 500.0, tmp_path / SINK) == Plan(anchor=None, entries=0, segments=[])


async def test_retention_twice_is_once(home: AuditedHome) -> None:
    await carry_out(home, decide(home, 2_500.0))
    assert decide(home, 2_500.0).entries == 0
    await asyncio.sleep(0)
    assert home.verify().findings == []
