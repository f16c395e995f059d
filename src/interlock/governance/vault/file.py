"""The vault's file: marked by its key, replaced in one step, written by one at a time, readable by its owner only."""

from __future__ import annotations

import errno
import fcntl
import hmac
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.errors import VaultFailed
from interlock.governance.durable import sync_folder
from interlock.governance.vault.sealing import MasterKey, damaged

FORMAT = "interlock vault 1"
#: Seconds to wait for another process that is writing.
PATIENCE = 20.0
_MOST = 64 * 1024 * 1024


def read(path: Path) -> dict[str, Any] | None:
    """What the file says, its mark not yet checked; None where there is no file.

    Raises:
        VaultFailed: `vault.damaged`, `vault.io`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        text = raw.decode("ascii")
        told = json.loads(text)
        # Only the very bytes we write count, so that no change at all goes unnoticed.
        if text != _written(told) or told["vault"]["format"] != FORMAT:
            raise ValueError
        vault: dict[str, Any] = told["vault"]
        return {**vault, "mark": told["mark"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(type(error).__name__) from None


def state(path: Path) -> tuple[int, ...]:
    """What tells whether a file is still the same; nothing where there is none."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_mtime_ns, about.st_ctime_ns, about.st_size


def check(told: Mapping[str, Any], key: MasterKey) -> None:
    """Make sure that nothing was changed, taken out or put in since someone with the key wrote it.

    Raises:
        VaultFailed: `vault.damaged`.
    """
    vault = {name: value for name, value in told.items() if name != "mark"}
    if not hmac.compare_digest(key.marked(_canonical(vault)), str(told.get("mark"))):
        raise damaged("mark")


def write(path: Path, vault: Mapping[str, Any], key: MasterKey) -> None:
    """Put a whole new vault in the place of the old one: after a crash it is the one or the other.

    Raises:
        VaultFailed: `vault.io`.
    """
    replace_file(path, _written({"vault": vault, "mark": key.marked(_canonical(vault))}))


def replace_file(path: Path, text: str) -> None:
    """Write a private file (0600) next to its place, make it durable, then move it there.

    Raises:
        VaultFailed: `vault.io`.
    """
    new = path.with_name(f".{path.name}.new")  # one name: whoever writes holds the lock, and no crash leaves many
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, error) from None


@contextmanager
def alone(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only one who writes the vault, across threads and processes.

    Raises:
        VaultFailed: `vault.locked`: another one holds it for longer than `patience` seconds; `vault.io`.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(lock, error) from None
    try:
        _take(descriptor, patience)
        yield
    finally:
        os.close(descriptor)


def read_private(path: Path) -> str | None:
    """A file with a key in it; None where there is none.

    Raises:
        VaultFailed: `vault.key_exposed`: others may read it; `vault.io`.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            if state.st_mode & 0o077 or state.st_uid not in (os.geteuid(), 0):
                raise VaultFailed(
                    f"Others than you may read {path.name}, which holds the vault's key.",
                    f"Make it private with `chmod 600 {path}`, and then take a new key: `interlock vault rotate`.",
                    code="vault.key_exposed",
                )
            return file.read(_MOST).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None


def _take(descriptor: int, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise VaultFailed(
                    "Another process is writing the vault and does not come to an end.",
                    "End that process, then try again.",
                    code="vault.locked",
                ) from None
            time.sleep(0.01)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1)


def _written(value: Any) -> str:
    return f"{_canonical(value)}\n"


def _unusable(path: Path, error: OSError) -> VaultFailed:
    reason = (error.strerror or "the system refuses it").lower()
    return VaultFailed(
        f"{path.name} cannot be read or written: {reason}.",
        f"Check that this user may read and write {path.parent}.",
        code="vault.io",
        detail=repr(error),
    )
