"""Whatever is done to a log is found: edited, moved, removed, cut off, rewritten, forged."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from interlock.errors import NotFound, UsageError
from interlock.governance.audit.checkpoint import KeyFiles, Signer, read_checkpoints, written
from interlock.governance.audit.export import export
from interlock.governance.audit.findings import Report
from interlock.governance.audit.log import read_lines
from interlock.governance.audit.places import kept_checkpoints, verify_place
from interlock.governance.audit.tree import CompactRange
from interlock.governance.audit.verify import verify
from interlock.platform.auditing import AuditBook
from interlock.stores.sqlite_file import open_reader
from tests.governance.audit_rig import RUN, AuditedHome


@pytest.fixture
async def home(tmp_path: Path) -> AuditedHome:
    """Thirty entries, signed at 20 and at 30, and not one more."""
    made = AuditedHome(tmp_path)
    await made.write(20)
    await made.write(10)
    return made


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def rewrite(home: AuditedHome, start: int, says: str) -> None:
    """Change an entry and make all that follows fit again, as someone would who knows how the chain works."""
    prev = ""
    for n, leaf, body in home.rows():
        told = json.loads(body)
        if n >= start:
            told["prev"] = prev or told["prev"]
            told["outcome"] = says if n == start else told["outcome"]
            body = json.dumps(told, sort_keys=True, separators=(",", ":"))
            leaf = sha256(b"\0" + body.encode()).hexdigest()
            home.tamper("UPDATE audit SET body = ?, leaf = ? WHERE n = ?", body, leaf, n)
        prev = leaf


def test_a_log_that_nobody_touched_is_good(home: AuditedHome) -> None:
    report = home.verify()
    assert (report.findings, report.notes) == ([], [])
    assert (report.entries, report.first, report.last, report.signed) == (30, 1, 30, 30)
    assert [one.size for one in report.matching] == [20, 30]


async def test_entries_that_no_checkpoint_covers_yet_are_said(home: AuditedHome) -> None:
    await home.write(5, sign=False)
    report = home.verify()
    assert report.ok
    assert report.unsigned == 5
    assert report.notes == ["No checkpoint covers the last 5 entries yet, from entry 31 on."]


@pytest.mark.parametrize("n", [1, 7, 30])
def test_an_edited_entry_is_found(home: AuditedHome, n: int) -> None:
    home.tamper("UPDATE audit SET body = replace(body, 'test.note', 'test.nota') WHERE n = ?", n)
    home.tamper("UPDATE audit SET body = replace(body, '\"admitted\"', '\"refused\"') WHERE n = ?", n)
    report = home.verify()
    assert (n, "edited") in [(finding.n, finding.kind) for finding in report.findings]
    assert "rewritten" in kinds(report)


def test_an_entry_edited_together_with_its_hash_is_found(home: AuditedHome) -> None:
    (_, _, body) = home.rows()[6]
    edited = body.replace("test.note", "test.nota")
    leaf = sha256(b"\0" + edited.encode()).hexdigest()
    home.tamper("UPDATE audit SET body = ?, leaf = ? WHERE n = 7", edited, leaf)
    report = home.verify()
    assert (8, "chain") in [(finding.n, finding.kind) for finding in report.findings]


def test_two_entries_that_changed_places_are_found(home: AuditedHome) -> None:
    (_, one, first), (_, two, second) = home.rows()[4:6]
    home.tamper("UPDATE audit SET body = ?, leaf = ? WHERE n = 5", second, two)
    home.tamper("UPDATE audit SET body = ?, leaf = ? WHERE n = 6", first, one)
    report = home.verify()
    assert [(f.n, f.kind) for f in report.findings if f.kind == "moved"] == [(5, "moved"), (6, "moved")]


def test_an_entry_removed_in_the_middle_is_found(home: AuditedHome) -> None:
    home.tamper("DELETE FROM audit WHERE n BETWEEN 10 AND 12")
    report = home.verify()
    assert report.findings[0].says == "Entries 10 to 12 are missing."


def test_the_beginning_cannot_be_removed(home: AuditedHome) -> None:
    home.tamper("DELETE FROM audit WHERE n <= 3")
    assert "missing" in kinds(home.verify())


def test_a_forged_anchor_does_not_hide_a_removed_beginning(home: AuditedHome) -> None:
    rows = home.rows()
    state = json.dumps({"leaf": rows[2][1], "range": [sha256(b"x").hexdigest(), rows[2][1]]})
    home.tamper("DELETE FROM audit WHERE n <= 3")
    home.tamper("INSERT INTO audit_marks (name, n, state) VALUES ('anchor', 3, ?)", state)
    assert "rewritten" in kinds(home.verify())


def test_a_tail_that_was_cut_off_is_found_by_the_checkpoint(home: AuditedHome) -> None:
    home.tamper("DELETE FROM audit WHERE n > 20")
    home.tamper("DELETE FROM facts WHERE seq > 20")
    report = home.verify()
    assert kinds(report) == {"cut"}
    assert report.findings[0].says == "The log was signed with 30 entries and ends at entry 20: its end was cut off."


def test_a_tail_rewritten_with_its_hashes_is_found_by_the_checkpoint(home: AuditedHome) -> None:
    rewrite(home, 25, "denied")
    report = home.verify()
    assert kinds(report) == {"rewritten"}
    assert report.findings[0].says.startswith("Entries 21 to 30 are not those that were signed")


def test_a_log_rewritten_and_signed_with_another_key_is_found(home: AuditedHome, tmp_path: Path) -> None:
    rewrite(home, 5, "denied")
    forger = KeyFiles(tmp_path / "forger").signer()
    tree = CompactRange()
    for _, leaf, _ in home.rows():
        tree.add(bytes.fromhex(leaf))
    home.kept.write_text(written([forger.sign(30, tree.root())]))
    assert "signature" in kinds(home.verify())
    same_name = Signer(home.keys.verifiers()[0].name, bytes(32))
    home.kept.write_text(written([same_name.sign(30, tree.root())]))
    assert "signature" in kinds(home.verify())


def test_a_checkpoint_moved_to_another_size_is_found(home: AuditedHome) -> None:
    home.kept.write_text(home.kept.read_text().replace("\n30\n", "\n29\n"))
    assert "signature" in kinds(home.verify())


def test_missing_checkpoints_are_said(home: AuditedHome) -> None:
    home.kept.unlink()
    report = home.verify()
    assert kinds(report) == {"checkpoints"}
    assert report.findings[0].says == (
        "The file of checkpoints, checkpoints, is missing: nothing anchors the 30 entries."
    )


def test_checkpoints_that_lost_their_newest_are_found(home: AuditedHome) -> None:
    checkpoints, _ = kept_checkpoints(home.kept)
    home.kept.write_text(written(checkpoints[:1]))
    report = home.verify()
    assert kinds(report) == {"checkpoints"}
    assert "the checkpoints end at 20" in report.findings[0].says


def test_a_torn_checkpoint_is_found(home: AuditedHome) -> None:
    with home.kept.open("a") as file:
        file.write("interlock.audit/x\n31\n")
    assert kinds(home.verify()) == {"checkpoints"}


def test_a_missing_public_key_is_said(home: AuditedHome) -> None:
    home.keys.public.unlink()
    assert kinds(home.verify()) == {"key"}


def test_an_edited_fact_is_found_though_its_entry_stayed(home: AuditedHome) -> None:
    home.tamper("UPDATE facts SET body = replace(body, 'note 8', 'note 9') WHERE seq = 9")
    report = home.verify()
    assert [(f.n, f.kind) for f in report.findings] == [(9, "fact")]
    assert "was edited" in report.findings[0].says


def test_a_removed_fact_is_found_though_its_entry_stayed(home: AuditedHome) -> None:
    home.tamper("DELETE FROM facts WHERE seq = 9")
    report = home.verify()
    assert [f.says for f in report.findings] == [f"Entry 9 tells of fact 9 of run {RUN}, which was removed."]


@pytest.mark.parametrize("seq", [31, 9])
def test_a_fact_that_was_smuggled_in_is_found(home: AuditedHome, seq: int) -> None:
    position = 31 if seq == 31 else 9
    home.tamper("UPDATE facts SET position = position + 1000 WHERE position >= ?", position)
    home.tamper("UPDATE facts SET position = position - 999 WHERE position >= ?", position)
    home.tamper("INSERT INTO facts VALUES (?, 'another', 1, 1.0, 'noted', '{}')", position)
    report = home.verify()
    assert [f.says for f in report.findings] == ["No entry tells of fact 1 of run another, which is in the journal."]


def test_facts_that_changed_places_are_found(home: AuditedHome) -> None:
    home.tamper("UPDATE facts SET position = 99 WHERE position = 4")
    assert kinds(home.verify()) == {"fact"}


async def test_facts_from_before_there_was_a_log_are_said(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    await home.write(6)
    home.tamper("DELETE FROM audit")
    home.tamper("DELETE FROM audit_marks")
    for path in (home.kept, home.keys.public, home.keys.private):
        path.unlink()
    await home.write(3)
    report = home.verify()
    assert (report.findings, report.notes) == ([], ["6 facts are older than the first entry, and have none."])


# --- A log that left its store ----------------------------------------------------------------------------------


@pytest.fixture
def exported(home: AuditedHome, tmp_path: Path) -> Path:
    path = tmp_path / "out.jsonl"
    with closing(open_reader(home.store)) as db:
        assert export(db, kept_checkpoints(home.kept)[0], path) == 32
    return path


def checked(home: AuditedHome, path: Path, *, apart: bool = True) -> Report:
    kept = kept_checkpoints(home.kept)[0] if apart else ()
    return verify_place(str(path), home.keys.verifiers(), checkpoints=kept).report


def test_an_export_can_be_checked_anywhere(home: AuditedHome, exported: Path) -> None:
    report = checked(home, exported)
    assert (report.findings, report.notes, report.signed) == ([], [], 30)
    alone = checked(home, exported, apart=False)
    assert alone.ok
    assert "--checkpoint" in alone.notes[0]


def test_without_a_key_an_export_proves_nothing(exported: Path) -> None:
    with pytest.raises(UsageError) as caught:
        verify_place(str(exported), [])
    assert caught.value.code == "usage.audit_key"


def test_whatever_is_done_to_an_export_is_found(home: AuditedHome, exported: Path) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    attacks = {
        "edited": [*lines[:4], lines[4].replace(b"note 4", b"note 5"), *lines[5:]],
        "removed": [*lines[:4], *lines[5:]],
        "swapped": [*lines[:4], lines[5], lines[4], *lines[6:]],
        "doubled otherwise": [*lines[:6], lines[4].replace(b"note 4", b"note 5"), *lines[6:]],
        "cut": lines[:21],
        "cut in a line": [*lines[:25], lines[25][:40]],
        "begun later": lines[3:],
        "junk": [*lines[:4], b"not of a log\n", *lines[4:]],
        "forged checkpoint": [*lines[:4], lines[20].replace(b"\\n20\\n", b"\\n4\\n"), *lines[4:]],
        "empty": [],
    }
    for name, forged in attacks.items():
        exported.write_bytes(b"".join(forged))
        assert not checked(home, exported).ok, name


def test_an_entry_that_was_delivered_twice_is_no_finding(home: AuditedHome, exported: Path) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join([*lines[:6], *lines[2:6], *lines[6:]]))
    report = checked(home, exported)
    assert report.ok
    assert report.twice == 4


def test_there_must_be_a_log(home: AuditedHome, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        checked(home, tmp_path / "nowhere")


# --- Proofs -----------------------------------------------------------------------------------------------------


def test_an_entry_is_proved_to_be_in_the_signed_log(home: AuditedHome, exported: Path) -> None:
    with exported.open("rb") as file:
        found = verify(read_lines(file, "x"), home.keys.verifiers())
    proof = found.prove_entry(7)
    assert proof["leaf"] == home.rows()[6][1]
    assert found.report.ok
    with pytest.raises(NotFound):
        found.prove_entry(31)


async def test_the_log_is_proved_to_have_only_grown(home: AuditedHome, tmp_path: Path) -> None:
    old, new = kept_checkpoints(home.kept)[0]
    with closing(open_reader(home.store)) as db:
        export(db, [new], tmp_path / "new.jsonl")
    found = verify(read_lines((tmp_path / "new.jsonl").read_bytes().splitlines(), "x"), home.keys.verifiers())
    assert found.prove_growth(old)["to"] == 30
    assert found.report.ok


async def test_a_log_that_was_rewritten_and_signed_again_does_not_agree_with_the_old_checkpoint(
    home: AuditedHome, tmp_path: Path
) -> None:
    old, _ = kept_checkpoints(home.kept)[0]
    rewrite(home, 5, "denied")
    tree = CompactRange()
    for _, leaf, _ in home.rows():
        tree.add(bytes.fromhex(leaf))
    stolen = home.keys.signer()  # even with the log's own key
    home.kept.write_text(written([stolen.sign(30, tree.root())]))
    with closing(open_reader(home.store)) as db:
        export(db, kept_checkpoints(home.kept)[0], tmp_path / "new.jsonl")
    found = verify(read_lines((tmp_path / "new.jsonl").read_bytes().splitlines(), "x"), home.keys.verifiers())
    assert found.report.ok
    found.prove_growth(old)
    assert kinds(found.report) == {"rewritten"}


def test_a_store_of_an_older_version_has_no_log(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE facts (position INTEGER PRIMARY KEY, run_id, seq, at, kind, body)")
    home = AuditedHome(tmp_path)
    home.store = path
    assert home.verify().entries == 0


def test_checkpoints_from_elsewhere_count(home: AuditedHome) -> None:
    elsewhere, _ = read_checkpoints(home.kept.read_text())
    home.tamper("DELETE FROM audit WHERE n > 20")
    home.tamper("DELETE FROM facts WHERE seq > 20")
    home.tamper("DELETE FROM audit_marks")
    home.kept.write_text(written(elsewhere[:1]))
    assert home.verify().ok  # in the home itself everything fits
    assert kinds(home.verify(more=elsewhere)) == {"cut"}


def test_the_time_of_a_fact_is_known_too(home: AuditedHome) -> None:
    home.tamper("UPDATE facts SET at = at - 3600 WHERE seq = 7")
    report = home.verify()
    assert kinds(report) == {"fact"}
    assert "time" in report.findings[0].says


def test_a_store_that_was_taken_away_or_emptied_is_missed(home: AuditedHome) -> None:
    book = AuditBook(home.store.parent)
    assert book.check().report.ok
    home.store.write_bytes(b"")
    assert {"damaged", "cut"} <= kinds(book.check().report)
    for file in home.store.parent.glob("interlock.db*"):
        file.unlink()
    assert kinds(book.check().report) == {"cut"}


def test_a_home_that_never_had_a_log_has_nothing_wrong_with_it(tmp_path: Path) -> None:
    assert AuditBook(tmp_path).check().report.ok


def test_a_forged_beginning_is_a_finding_and_no_crash(home: AuditedHome) -> None:
    home.tamper("DELETE FROM audit WHERE n <= 5")
    home.tamper('INSERT INTO audit_marks (name, n, state) VALUES (\'anchor\', 5, \'{"leaf": "ab", "range": ["zz"]}\')')
    assert "damaged" in kinds(home.verify())
