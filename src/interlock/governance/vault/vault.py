"""The vault itself: set, get, list, remove and rotate, each in one durable step."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from interlock.errors import NotFound, UsageError, VaultFailed
from interlock.governance.vault import file
from interlock.governance.vault.keys import KeySource
from interlock.governance.vault.references import follow, is_reference
from interlock.governance.vault.sealing import MasterKey, Place, Random, Sealed, damaged, seal, unseal
from interlock.governance.vault.secret import Secret

#: The vault's file in the home folder.
VAULT = "vault.json"
#: Longest value, in characters: keys and certificates, not documents.
LONGEST = 65_536
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@/-]{0,127}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What may be known of a secret without its key: everything but the value.

    Args:
        name: What it is called.
        tenant: Whose it is; empty for the platform's own.
        version: Which of its values, from 1.
        kind: `value`, or `reference` where the vault only knows where the value is.
        created_at: Seconds since 1970.
    """

    name: str
    tenant: str
    version: int
    kind: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value that is about to be handed out.

    Args:
        name: Which secret.
        tenant: Whose.
        version: Which of its values.
        by: Who wants it.
        at: Seconds since 1970.
    """

    name: str
    tenant: str
    version: int
    by: str
    at: float


class Vault:
    """Secrets by tenant, name and version, in one encrypted file. Safe for several threads and processes.

    Args:
        path: The file; it is made when the first secret is set.
        sources: Where the master key may be, the best first; see `key_sources`.
        register: Told each value and its name before it is kept or handed out, so that a redactor knows it.
        noted: Told of each reading before the value is handed out; if it raises, the value is not.
        environ: The environment, for secrets that are references to variables.
        make_key: Whether a new vault may make its own key, in the keyring or a key file.
        now: The clock: seconds since 1970.
        random: Gives random bytes.
    """

    def __init__(
        self,
        path: Path,
        sources: Sequence[KeySource],
        *,
        register: Callable[[str, str], object] = lambda value, name: None,
        noted: Callable[[Reading], object] = lambda reading: None,
        environ: Mapping[str, str] | None = None,
        make_key: bool = False,
        now: Callable[[], float] = time.time,
        random: Random = os.urandom,
    ) -> None:
        self._path = path
        self._sources = sources
        self._register = register
        self._noted = noted
        self._environ = os.environ if environ is None else environ
        self._make_key = make_key
        self._now = now
        self._random = random
        self._known: dict[str, tuple[MasterKey, KeySource]] = {}
        self._told: tuple[int, ...] = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A vault is not pickled: it holds keys. Open it again.")

    def note_readings(self, noted: Callable[[Reading], object]) -> None:
        """Tell someone else, such as an audit log, of each reading before the value is handed out."""
        self._noted = noted

    def set(self, name: str, value: str | Secret, *, tenant: str = "") -> Entry:
        """Keep a secret; the values it had before stay readable by their version.

        Args:
            name: What it is called.
            value: The secret. Where it should stay somewhere else, use `refer`.
            tenant: Whose it is.

        Returns:
            What was kept, durable when this returns.

        Raises:
            UsageError: `usage.vault`: the name or the value cannot be kept.
            VaultFailed: there is no key, or the file cannot be written.
        """
        plain = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(plain, str) or not plain or len(plain) > LONGEST:
            raise _unusable(f"A secret is a text of 1 to {LONGEST:,} characters.")
        self._register(plain, name)
        return self._put(name, plain, tenant, "value")

    def refer(self, name: str, reference: str, *, tenant: str = "") -> Entry:
        """Keep where a secret is, and look there whenever it is read.

        Args:
            name: What it is called.
            reference: `env:VARIABLE`, `file:/absolute/path` or `keyring:SERVICE/ACCOUNT`.
            tenant: Whose it is.

        Raises:
            UsageError: `usage.vault`: it is no such reference.
            VaultFailed: there is no key, or the file cannot be written.
        """
        if not is_reference(reference):
            raise _unusable("A reference is env:VARIABLE, file:/absolute/path or keyring:SERVICE/ACCOUNT.")
        return self._put(name, reference, tenant, "reference")

    def get(self, name: str, *, version: int | None = None, tenant: str = "", by: str = "") -> Secret:
        """A secret. From now on the redactor hides it, and the reading is noted.

        Args:
            name: What it is called.
            version: Which of its values; the newest by default.
            tenant: Whose it is.
            by: Who wants it, for the record.

        Raises:
            NotFound: `vault.not_found`.
            VaultFailed: `vault.key_missing`, `vault.wrong_key`, `vault.damaged`, `vault.io`, `vault.reference`.
        """
        told = self._read()
        found = [one for one in _records(told) if (one["tenant"], one["name"]) == (tenant, name)]
        found = [one for one in found if version in (None, one["version"])]
        if told is None or not found:
            raise _missing(name, version, tenant)
        record = max(found, key=lambda one: int(one["version"]))
        place, sealed = _parts(record)
        plain = unseal(sealed, place, self._key_of(told)[0])
        reading = Reading(name=name, tenant=tenant, version=place.version, by=by, at=self._now())
        _log.info("vault: %s (version %d, tenant %r) is read by %s", name, place.version, tenant, by or "the program")
        self._noted(reading)
        if place.kind == "reference":
            plain = follow(plain, self._environ)
        self._register(plain, name)
        return Secret(plain, name)

    def tell_values(self) -> None:
        """Have the redactor hide every value there is, also those nobody has asked for yet; nothing is handed out.

        It costs one look at the file's state where the file is what it was the last time.

        Raises:
            VaultFailed: the vault cannot be opened; it is tried again once the file has changed.
        """
        state = file.state(self._path)
        if state == self._told:
            return
        self._told = state
        told = self._read()
        for record in _records(told):
            place, sealed = _parts(record)
            plain = unseal(sealed, place, self._key_of(told or {})[0])
            if place.kind == "reference":
                try:
                    plain = follow(plain, self._environ)
                except VaultFailed:  # it is not where it is said to be: whoever asks for it is told
                    continue
            self._register(plain, place.name)

    def check_key(self) -> None:
        """Make sure that the vault can be opened, or a new one made.

        Raises:
            VaultFailed: see `get`.
        """
        if self._read() is not None or self._make_key:
            return
        if not any(source.given or source.keys([]) for source in self._sources):
            raise _no_key("There is no key to close the vault with.")

    def entries(self, *, tenant: str | None = None) -> list[Entry]:
        """What is kept, without the values, by tenant, name and version.

        Args:
            tenant: Only this tenant's; None for everyone's.

        Raises:
            VaultFailed: see `get`.
        """
        shown = ("name", "tenant", "version", "kind", "created_at")
        listed = [Entry(**{part: one[part] for part in shown}) for one in _records(self._read())]
        return sorted(
            (one for one in listed if tenant in (None, one.tenant)), key=lambda one: (one.tenant, one.name, one.version)
        )

    def remove(self, name: str, *, tenant: str = "") -> int:
        """Forget a secret with all its versions, and say how many there were.

        Raises:
            NotFound: `vault.not_found`.
            VaultFailed: see `get`.
        """
        with file.alone(self._path):
            told = self._read()
            records = _records(told)
            kept = [one for one in records if (one["tenant"], one["name"]) != (tenant, name)]
            if told is None or len(kept) == len(records):
                raise _missing(name, None, tenant)
            self._write(told["salts"], kept, self._key_of(told)[0])
            return len(records) - len(kept)

    def rotate(self) -> str:
        """Take a new master key and wrap everything with it; the old one is forgotten once that is done.

        A crash at any moment leaves a vault that opens: the new key is kept beside the old one first.

        Returns:
            The id of the new key.

        Raises:
            NotFound: `vault.not_found`: there is no vault yet.
            VaultFailed: `vault.no_new_key`: the key comes from outside, and there is no newer one. See also `get`.
        """
        with file.alone(self._path):
            told = self._read()
            if told is None:
                raise NotFound("There is no vault yet.", "`interlock vault set NAME` makes it.", code="vault.not_found")
            old, source = self._key_of(told)
            made = source.make(self._random) or (source.keys(told["salts"])[0], told["salts"])
            new, salts = made
            if new.id == old.id:
                raise VaultFailed(
                    f"The vault's key comes from {source.name}, which knows no newer one.",
                    "Put the new key before the old one there (in ENCRYPTION_KEY separated by a comma), then again.",
                    code="vault.no_new_key",
                )
            self._write(salts, [_rewrapped(one, old, new, self._random) for one in _records(told)], new)
            self._known = {new.id: (new, source)}
            source.keep_only(new.id)
            return new.id

    def _put(self, name: str, text: str, tenant: str, kind: str) -> Entry:
        if not _NAME.fullmatch(name) or (tenant and not _NAME.fullmatch(tenant)):
            raise _unusable("A secret's name and tenant are up to 128 letters, digits and _ . @ / -.")
        with file.alone(self._path):
            told = self._read()
            if told is None:
                key, salts = self._first_key()
            else:
                key, salts = self._key_of(told)[0], told["salts"]
            records = _records(told)
            versions = [one["version"] for one in records if (one["tenant"], one["name"]) == (tenant, name)]
            place = Place(tenant=tenant, name=name, version=max(versions, default=0) + 1, kind=kind)
            sealed = seal(text, place, key, self._random)
            record = {**asdict(place), **asdict(sealed), "created_at": self._now()}
            self._write(salts, [*records, record], key)
        return Entry(name=name, tenant=tenant, version=place.version, kind=kind, created_at=record["created_at"])

    def _read(self) -> dict[str, Any] | None:
        """The file, checked with its key; None where there is none."""
        told = file.read(self._path)
        if told is None:
            return None
        try:
            key, _ = self._key_of(told)
        except VaultFailed:
            newer = file.read(self._path)  # another process may have rotated between our looks at file and key
            if newer is None or newer.get("key") == told.get("key"):
                raise
            told, (key, _) = newer, self._key_of(newer)
        file.check(told, key)
        return told

    def _write(self, salts: Sequence[str], records: Sequence[Mapping[str, Any]], key: MasterKey) -> None:
        vault = {"format": file.FORMAT, "key": key.id, "salts": list(salts), "records": list(records)}
        file.write(self._path, vault, key)

    def _key_of(self, told: Mapping[str, Any]) -> tuple[MasterKey, KeySource]:
        """The key that a vault names, and where it was found."""
        wanted = str(told.get("key"))
        if wanted in self._known:
            return self._known[wanted]
        seen = False
        for source in self._sources:
            try:
                found = source.keys(told["salts"])
            except (ValueError, TypeError, KeyError) as error:
                raise damaged(type(error).__name__) from None
            seen = seen or bool(found)
            for key in found:
                if key.id == wanted:
                    self._known[wanted] = (key, source)
                    return key, source
        if not seen:
            raise _no_key("The vault cannot be opened: its key is nowhere to be found.")
        raise VaultFailed(
            "The vault cannot be opened: the key that was found is not the one it was closed with.",
            "Give it the key it was closed with (a backup of the key file, or the ENCRYPTION_KEY of then); "
            "without it nobody can read the vault, and the secrets must be set again in a new one.",
            code="vault.wrong_key",
        )

    def _first_key(self) -> tuple[MasterKey, list[str]]:
        """The key for a vault that is just being made: one that is there, else the passphrase, else a new one."""
        for source in self._sources:
            found = source.keys([])
            if found:
                return found[0], []
        for source in self._sources:
            made = source.make(self._random) if source.given or self._make_key else None
            if made is not None:
                return made
        raise _no_key("There is no key to close the vault with.")


def _records(told: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return list(told["records"]) if told is not None else []


def _parts(record: Mapping[str, Any]) -> tuple[Place, Sealed]:
    place = Place(**{part: record[part] for part in ("tenant", "name", "version", "kind")})
    return place, Sealed(**{part: record[part] for part in ("key_id", "wrapped", "value")})


def _rewrapped(record: Mapping[str, Any], old: MasterKey, new: MasterKey, random: Random) -> dict[str, Any]:
    place, sealed = _parts(record)
    return {**record, **asdict(sealed.rewrapped(place, old, new, random))}


def _no_key(says: str) -> VaultFailed:
    return VaultFailed(
        says,
        "Set ENCRYPTION_KEY or INTERLOCK_VAULT_PASSPHRASE, or name `key_file` or `key_command` under [vault] in "
        "interlock.toml; `interlock vault set NAME --make-key` makes a key for a new vault.",
        code="vault.key_missing",
    )


def _missing(name: str, version: int | None, tenant: str) -> NotFound:
    which = f" in version {version}" if version is not None else ""
    whose = f" for the tenant {tenant[:60]}" if tenant else ""
    return NotFound(
        f"There is no secret {name[:60]}{which}{whose}.",
        "`interlock vault list` shows what there is.",
        code="vault.not_found",
    )


def _unusable(says: str) -> UsageError:
    return UsageError(says, code="usage.vault")
