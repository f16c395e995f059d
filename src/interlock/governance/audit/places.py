"""Checking a log where it lies: in a home's store, in an exported file, in a folder of segments, in an object store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from interlock.errors import NotFound, UsageError
from interlock.governance.audit.checkpoint import Checkpoint, PublicKey, read_checkpoints
from interlock.governance.audit.facts import FactsBeside
from interlock.governance.audit.findings import Finding, Report
from interlock.governance.audit.log import Item, has_log, read_lines, read_store
from interlock.governance.audit.sinks import is_object_store, object_store, segment_range, segments_in
from interlock.governance.audit.verify import Verification, verify
from interlock.stores.audit_chain import read_mark
from interlock.stores.sqlite_file import open_reader

Progress = Callable[[int], None]


def kept_checkpoints(path: Path) -> tuple[list[Checkpoint], int]:
    """The checkpoints of a file and how many of its lines are none; nothing where there is no file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_checkpoints(path.read_text("utf-8", errors="replace"))
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", code="usage.audit_checkpoint", detail=repr(error)) from error


def verify_store(
    store: Path,
    kept: Path,
    keys: Sequence[PublicKey],
    *,
    more: Iterable[Checkpoint] = (),
    progress: Progress | None = None,
) -> Verification:
    """Check the log of a home, and the facts beside it.

    Args:
        store: The store's file; a reader looks at it as it is at one moment.
        kept: The file of checkpoints.
        keys: The log's keys.
        more: Further checkpoints, kept elsewhere.
        progress: Told how far it is.
    """
    checkpoints, junk = kept_checkpoints(kept)  # before the store: what was signed by now must be in it
    with closing(open_reader(store)) as db:
        db.execute("BEGIN")
        trusted = [*checkpoints, *more] if keys else []
        try:
            facts = FactsBeside(db)
            found = verify(read_store(db), keys, trusted, facts=facts, progress=progress)
            report = found.report
            report.findings += facts.finish()
            if facts.older:
                report.notes.append(f"{facts.older} facts are older than the first entry, and have none.")
            _look_at_checkpoints(report, db, kept, checkpoints, keys, junk)
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
            found = verify((), keys, trusted)
            says = f"The store is damaged: the log in it cannot be read ({type(error).__name__})."
            found.report.findings.append(Finding(n=None, kind="damaged", says=says))
    return found


def _look_at_checkpoints(
    report: Report,
    db: sqlite3.Connection,
    kept: Path,
    checkpoints: Sequence[Checkpoint],
    keys: Sequence[PublicKey],
    junk: int,
) -> None:
    newest = max((one.size for one in checkpoints), default=0)
    signed = read_mark(db, "checkpoints").n if has_log(db) else 0
    if signed > newest:  # another process may have signed since the file was read
        newest = max((one.size for one in kept_checkpoints(kept)[0]), default=0)
    if not kept.exists() and (signed or keys):
        says = f"The file of checkpoints, {kept.name}, is missing: nothing anchors the {report.entries} entries."
        report.findings.append(Finding(n=None, kind="checkpoints", says=says))
    elif signed > newest:
        says = f"The log was signed up to entry {signed}, but the checkpoints end at {newest}: some were removed."
        report.findings.append(Finding(n=newest, kind="checkpoints", says=says))
    if junk:
        says = f"{junk} lines of the file of checkpoints belong to no checkpoint."
        report.findings.append(Finding(n=None, kind="checkpoints", says=says))
    if checkpoints and not keys:
        says = "The log's public key is missing, so no checkpoint could be checked."
        report.findings.append(Finding(n=None, kind="key", says=says))
    _note_unsigned(report)


def verify_place(
    place: str,
    keys: Sequence[PublicKey],
    *,
    checkpoints: Iterable[Checkpoint] = (),
    options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check a log that left its store.

    Args:
        place: An exported file, a folder of segments, or the address of an object store.
        keys: The log's keys.
        checkpoints: Checkpoints that were kept elsewhere.
        options: What the object store needs, in obstore's words.
        progress: Told how far it is.

    Raises:
        UsageError: there is no key, or several logs are there.
        NotFound: nothing is there.
    """
    if not keys:
        says = "Without the log's public key nothing that was signed can be checked."
        raise UsageError(says, "Give it: --pubkey FILE.", code="usage.audit_key")
    apart = list(checkpoints)
    items = _objects(place, options) if is_object_store(place) else _files(Path(place).expanduser(), place)
    found = verify(items, keys, apart, progress=progress)
    report = found.report
    if not report.matching and not report.findings:
        report.findings.append(Finding(n=None, kind="checkpoints", says="No checkpoint covers anything of this log."))
    if not apart:
        says = "Whether its end was cut off shows only against a checkpoint that was kept elsewhere (--checkpoint)."
        report.notes.append(says)
    _note_unsigned(report)
    return found


def _note_unsigned(report: Report) -> None:
    if report.unsigned:
        first = report.last - report.unsigned + 1
        report.notes.append(f"No checkpoint covers the last {report.unsigned} entries yet, from entry {first} on.")


def _files(path: Path, name: str) -> Iterator[Item]:
    if path.is_file():
        yield from _lines_of(path)
        return
    segments = list(segments_in(path)) if path.is_dir() else []
    if not segments:
        raise NotFound(
            f"There is no audit log in {name}.", "Name a file, a folder or an address.", code="audit.not_found"
        )
    _one_log({str(found.parent) for _, _, found in segments}, name)
    for _, _, found in segments:
        yield from _lines_of(found)


def _lines_of(path: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        yield from read_lines(file, path.name)


def _objects(address: str, options: dict[str, Any] | None) -> Iterator[Item]:
    store = object_store(address, options)
    import obstore

    listed = [entry["path"] for page in obstore.list(store) for entry in page]
    places = sorted((place, path) for path in listed if (place := segment_range(path)) is not None)
    if not places:
        raise NotFound(f"There is no audit log at {address}.", "Check the address.", code="audit.not_found")
    _one_log({path.rpartition("/")[0] for _, path in places}, address)
    for _, path in places:
        content = bytes(obstore.get(store, path).bytes())
        yield from read_lines(content.splitlines(), path.rpartition("/")[2])


def _one_log(folders: set[str], name: str) -> None:
    if len(folders) > 1:
        listed = ", ".join(sorted(folders))
        raise UsageError(f"There are several logs in {name}: {listed}.", "Name one of them.", code="usage.audit_place")
