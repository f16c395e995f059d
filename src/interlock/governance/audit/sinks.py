"""Where the log is sent besides its store: folders and object stores of sealed segments, and the logger."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from interlock.errors import AuditFailed, SettingsError
from interlock.governance.audit.checkpoint import Signer
from interlock.governance.audit.log import Anchor, anchor_line, checkpoint_line
from interlock.governance.audit.tree import leaf_hash
from interlock.governance.durable import sync_folder

LOGGER = "interlock.audit"
_SEGMENT = re.compile(r"(?:.*/)?segment-(\d{12,})-(\d{12,})\.jsonl")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the log, sealed: what stands for the entries before it, its entries, and a checkpoint at its end.

    Args:
        name: `segment-<first entry>-<last entry>.jsonl`.
        content: Its lines, the same however often it is made.
        entries: The bodies of its entries.
        end: What stands for all entries up to its end.
    """

    name: str
    content: bytes
    entries: Sequence[str]
    end: Anchor

    @classmethod
    def seal(cls, start: Anchor, rows: Sequence[tuple[int, str, str]], signer: Signer) -> Segment:
        """Make a segment of the entries that follow `start`.

        Args:
            start: What stands for the entries before.
            rows: The entries as `(n, leaf, body)`.
            signer: Signs the checkpoint.

        Raises:
            AuditFailed: code `audit.tampered`, when an entry is missing or is not what was stored.
        """
        tree = start.tree()
        for expected, (n, leaf, body) in enumerate(rows, start.n + 1):
            raw = leaf_hash(body.encode())
            if n != expected or raw.hex() != leaf:
                says = (
                    f"Entry {expected} of the audit log is missing or was changed in the store; nothing more is sent."
                )
                raise AuditFailed(says, code="audit.tampered")
            tree.add(raw)
        end = Anchor(rows[-1][0], rows[-1][1], tree.to_hex())
        sealed = checkpoint_line(signer.sign(end.n, tree.root()))
        bodies = [body for _, _, body in rows]
        lines = b"".join(body.encode() + b"\n" for body in bodies)
        name = f"segment-{start.n + 1:012d}-{end.n:012d}.jsonl"
        return cls(name, anchor_line(start) + lines + sealed, bodies, end)


def segment_range(name: str) -> tuple[int, int] | None:
    """The first and last entry of a segment by its name; None for other files."""
    match = _SEGMENT.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


class Sink(Protocol):
    """Somewhere segments go. Its calls may block, and are made from a thread of its own."""

    #: What its place in the log is remembered by.
    name: str

    def put(self, log: str, segment: Segment) -> None:
        """Keep a segment, durable when this returns. The same segment again is no error.

        Args:
            log: The log's name.
            segment: The segment.

        Raises:
            AuditFailed: there is another one of this name (code `audit.sink_conflict`).
            Exception: anything else that keeps it from being written; it is tried again.
        """
        ...


class LoggerSink:
    """One line for each entry at level INFO of the logger `interlock.audit`."""

    name = "logger"

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)
        if not self._logger.isEnabledFor(logging.INFO):  # asked for is asked for
            self._logger.setLevel(logging.INFO)

    def put(self, log: str, segment: Segment) -> None:
        """See `Sink.put`. A segment that is delivered twice is logged twice."""
        for body in segment.entries:
            self._logger.info("%s", body)


class FolderSink:
    """A folder with a file for each segment, in a folder for each log.

    Args:
        folder: The folder; it is made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"folder-{_short(str(folder.absolute()))}"

    def put(self, log: str, segment: Segment) -> None:
        """See `Sink.put`."""
        place = self.folder / folder_of(log)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, draft = place / segment.name, place / f".{segment.name}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(segment.content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                if path.read_bytes() != segment.content:
                    raise _conflict(segment) from None
        finally:
            draft.unlink()
        sync_folder(place)


class ObjectSink:
    """An object store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`. Objects are only created.

    Args:
        destination: The address.
        options: What the store needs besides what is in the environment, in obstore's words, such as `endpoint`.
        timeout: Seconds one request may take.

    Raises:
        SettingsError: the address or an option is wrong, or obstore is not installed.
    """

    def __init__(self, destination: str, options: Mapping[str, Any] | None = None, timeout: float = 10.0) -> None:
        self.name = f"objects-{_short(destination)}"
        self._store = object_store(destination, options, timeout)

    def put(self, log: str, segment: Segment) -> None:
        """See `Sink.put`."""
        # Not the asynchronous calls: their threads can outlive the interpreter, which then aborts.
        import obstore
        from obstore.exceptions import AlreadyExistsError

        path = f"{folder_of(log)}/{segment.name}"
        try:
            obstore.put(self._store, path, segment.content, mode="create")
        except AlreadyExistsError:
            if bytes(obstore.get(self._store, path).bytes()) != segment.content:
                raise _conflict(segment) from None


def is_object_store(destination: str) -> bool:
    """Whether a destination is an object store's address."""
    return destination.partition("://")[0] in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss") and (
        "://" in destination
    )


def object_store(destination: str, options: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Any:
    """Open an object store; nothing is sent yet.

    Raises:
        SettingsError: see `ObjectSink`.
    """
    try:
        from obstore.store import from_url
    except ImportError:
        raise SettingsError(
            "Object stores need a package that is not installed.",
            "Install it: pip install 'interlock[objects]'.",
            code="settings.missing_package",
        ) from None
    given = dict(options or {})
    endpoint = str(given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", ""))
    limit = timedelta(seconds=timeout)
    open_url: Any = from_url  # one function for all kinds of stores, each with options of its own
    try:
        # Encrypted on the way, but where someone wrote http:// as the address.
        return open_url(
            destination,
            config=given or None,
            client_options={"timeout": limit, "connect_timeout": limit, "allow_http": endpoint.startswith("http://")},
            retry_config={"max_retries": 2, "retry_timeout": limit},
        )
    except Exception as error:  # its errors have no common class
        says = f"The audit log cannot be sent to {destination.partition('?')[0]}: it is not set up for it."
        do = "Check the address and the store's variables, such as AWS_REGION."
        raise SettingsError(says, do, code="settings.audit_destination", detail=str(error)[:500]) from error


def open_sink(destination: str, options: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Sink | None:
    """The sink that a destination names; None for `store`, where the log is anyway.

    Raises:
        SettingsError: it names none.
    """
    if destination == "store":
        return None
    if destination == "logger":
        return LoggerSink()
    if is_object_store(destination):
        return ObjectSink(destination, options, timeout)
    if "://" in destination or not destination.strip():
        raise SettingsError(
            f"The audit log cannot be sent to {destination!r}.",
            "Use s3://, gs:// or az://, a folder, `logger` or `store`.",
            code="settings.audit_destination",
        )
    folder = Path(destination).expanduser()
    if folder.exists() and not folder.is_dir():
        says = f"The audit log is written into a folder of segments, and {destination} is a file."
        raise SettingsError(says, "Name a folder.", code="settings.audit_destination")
    return FolderSink(folder.absolute())


def folder_of(log: str) -> str:
    """The folder of a log's segments: many logs may share a bucket."""
    return re.sub(r"[^\w.-]+", "-", log)


def segments_in(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """The segments below a folder as `(first, last, path)`, in order."""
    found = ((segment_range(path.name), path) for path in folder.rglob("segment-*.jsonl"))
    yield from sorted((*place, path) for place, path in found if place is not None)


def _conflict(segment: Segment) -> AuditFailed:
    return AuditFailed(
        f"There is another {segment.name} already, with different contents; nothing was overwritten.",
        "Send the log to an empty place; `interlock audit verify` checks the one that is there.",
        code="audit.sink_conflict",
    )


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
