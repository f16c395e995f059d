"""Where the master key comes from: keyring, a command, a key file, a passphrase, or ENCRYPTION_KEY."""

from __future__ import annotations

import hashlib
import logging
import subprocess
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from interlock.errors import VaultFailed
from interlock.governance.vault.file import read_private, replace_file
from interlock.governance.vault.sealing import KEY_BYTES, MasterKey, Random, read_key

ENCRYPTION_KEY = "ENCRYPTION_KEY"
PASSPHRASE = "INTERLOCK_VAULT_PASSPHRASE"
#: Seconds a key command may take.
COMMAND_SECONDS = 30.0
#: What scrypt costs: 128 MB and some tenths of a second for each guess (the cost OWASP recommends).
_SCRYPT: Mapping[str, int] = {"n": 2**17, "r": 8, "p": 1, "maxmem": 256 * 1024 * 1024}
_SERVICE = "interlock-vault"

_log = logging.getLogger(__name__)


class KeySource(Protocol):
    """A place where master keys are kept. The newest comes first; older ones still open what they sealed.

    Attributes:
        name: What people call it.
        given: Whether making a key there stores no secret anywhere.
    """

    name: str
    given: bool

    def keys(self, salts: Sequence[str]) -> list[MasterKey]:
        """The keys that are there for a vault with these salts; none where there are none."""
        ...

    def make(self, random: Random) -> tuple[MasterKey, list[str]] | None:
        """Keep a new key before the others: the key, and the salts the vault must note for it.

        None where none can be made, because the keys come from outside.
        """
        ...

    def keep_only(self, key_id: str) -> None:
        """Forget all keys but this one, once nothing is sealed with the others any more."""
        ...


class _Outside:
    """Keys that others make and keep; the first one is the newest."""

    given: bool = False

    def make(self, random: Random) -> tuple[MasterKey, list[str]] | None:
        """None: whoever keeps these keys makes them."""
        return None

    def keep_only(self, key_id: str) -> None:
        """Nothing: they are not ours to forget."""


class CommandKeys(_Outside):
    """What a program prints, one key a line: the way to a KMS.

    Args:
        command: The program and its words; no shell reads them.
    """

    name = "the key command"

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def keys(self, salts: Sequence[str]) -> list[MasterKey]:
        """Run the program.

        Raises:
            VaultFailed: `vault.key_command`: it failed, took too long or printed nothing; `vault.bad_key`.
        """
        try:
            done = subprocess.run(
                self._command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise self._failed(type(error).__name__) from None
        printed = done.stdout.decode("ascii", "replace").split()
        if done.returncode or not printed:
            raise self._failed(f"exit code {done.returncode}")
        return [read_key(line, self.name) for line in printed]

    def _failed(self, detail: str) -> VaultFailed:
        return VaultFailed(
            f"The command that gives the vault's key failed: {self._command[0]} ({detail}).",
            "Run it by hand to see why; it must print the key and exit with 0. It stands in `vault.key_command`.",
            code="vault.key_command",
        )


class VariableKeys(_Outside):
    """The keys in ENCRYPTION_KEY, separated by commas, the newest first, as the guides keep one.

    Args:
        text: The variable's value.
    """

    name = ENCRYPTION_KEY

    def __init__(self, text: str) -> None:
        self._text = text

    def keys(self, salts: Sequence[str]) -> list[MasterKey]:
        """Read them. Warns once that an environment variable is a weak place for a key.

        Raises:
            VaultFailed: `vault.bad_key`.
        """
        _warn_about_variable()
        return [read_key(one, self.name) for one in self._text.split(",") if one.strip()]


class PassphraseKeys:
    """The key that scrypt makes from a passphrase and the vault's salt.

    Args:
        passphrase: What a person remembers.
    """

    name = "the passphrase"
    given: bool = True

    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase.encode("utf-8", "surrogatepass")
        self._made: dict[str, MasterKey] = {}

    def keys(self, salts: Sequence[str]) -> list[MasterKey]:
        """The key for the vault's salt."""
        return [self._key(salt) for salt in salts[:1]]

    def make(self, random: Random) -> tuple[MasterKey, list[str]] | None:
        """The key for a new salt."""
        salt = b64encode(random(16)).decode()
        return self._key(salt), [salt]

    def keep_only(self, key_id: str) -> None:
        """Nothing: the salts are the vault's."""

    def _key(self, salt: str) -> MasterKey:
        if salt not in self._made:
            made = hashlib.scrypt(self._passphrase, salt=b64decode(salt), dklen=KEY_BYTES, **_SCRYPT)
            self._made[salt] = MasterKey.of(made)
        return self._made[salt]


class _Kept:
    """Keys that we keep somewhere as lines of text, the newest first."""

    name: str
    given: bool = False

    def keys(self, salts: Sequence[str]) -> list[MasterKey]:
        """Read them.

        Raises:
            VaultFailed: `vault.bad_key`, `vault.key_exposed`, `vault.io`.
        """
        return [read_key(line, self.name) for line in self._lines()]

    def make(self, random: Random) -> tuple[MasterKey, list[str]] | None:
        """Make a key and keep it, durable, before the others."""
        line = urlsafe_b64encode(random(KEY_BYTES)).decode()
        self._store([line, *self._lines()])
        return read_key(line, self.name), []

    def keep_only(self, key_id: str) -> None:
        """Forget all other keys."""
        self._store([line for line in self._lines() if read_key(line, self.name).id == key_id])

    def _lines(self) -> list[str]:
        raise NotImplementedError

    def _store(self, lines: Iterable[str]) -> None:
        raise NotImplementedError


class FileKeys(_Kept):
    """A file that only its owner may read, one key a line.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"the key file {path.name}"

    def _lines(self) -> list[str]:
        text = read_private(self._path) or ""
        return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

    def _store(self, lines: Iterable[str]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._path, "".join(f"{line}\n" for line in lines))


class KeyringKeys(_Kept):
    """The keyring of the operating system, where there is a real one. Servers usually have none.

    Args:
        account: What the key is kept under.
    """

    name = "the keyring"

    def __init__(self, account: str) -> None:
        self._account = account

    def make(self, random: Random) -> tuple[MasterKey, list[str]] | None:
        """Make a key and keep it there; None where there is no keyring."""
        return super().make(random) if keyring() is not None else None

    def _lines(self) -> list[str]:
        ring = keyring()
        return (ask_keyring(ring, _SERVICE, self._account) or "").split() if ring is not None else []

    def _store(self, lines: Iterable[str]) -> None:
        ring = keyring()
        if ring is not None:
            ring.set_password(_SERVICE, self._account, "\n".join(lines))


def key_sources(
    folder: Path, environ: Mapping[str, str], *, key_file: Path | None = None, key_command: Sequence[str] = ()
) -> list[KeySource]:
    """All places to look for the key of a vault, the best first.

    Args:
        folder: The vault's folder.
        environ: The environment.
        key_file: The key file; by default `vault.key` in that folder.
        key_command: A program with its words that prints the key, for example one that asks a KMS.
    """
    sources: list[KeySource] = [KeyringKeys(str(folder.resolve()))]
    if key_command:
        sources.append(CommandKeys(key_command))
    sources.append(FileKeys(key_file or folder / "vault.key"))
    if environ.get(PASSPHRASE):
        sources.append(PassphraseKeys(environ[PASSPHRASE]))
    if environ.get(ENCRYPTION_KEY, "").strip():
        sources.append(VariableKeys(environ[ENCRYPTION_KEY]))
    return sources


def keyring() -> Any | None:
    """The keyring of the operating system, or None: no package, or no back end that keeps a secret (`fail.Keyring`)."""
    try:
        import keyring as package
        from keyring.backends import fail, null
    except ImportError:
        return None
    found = package.get_keyring()
    if isinstance(found, fail.Keyring | null.Keyring) or found.priority < 1:  # below 1: not fit for secrets
        return None
    return found


def ask_keyring(ring: Any, service: str, account: str) -> str | None:
    """What the keyring holds under a name.

    Raises:
        VaultFailed: `vault.keyring`: it is locked, or does not answer.
    """
    from keyring.errors import KeyringError

    try:
        found: str | None = ring.get_password(service, account)
    except KeyringError as error:
        raise VaultFailed(
            "The keyring does not give the secret.", "Unlock the keyring.", code="vault.keyring", detail=repr(error)
        ) from None
    return found


@cache
def _warn_about_variable() -> None:
    _log.warning(
        "%s holds the vault's key: every program started from here can read it; a key file or a keyring is safer",
        ENCRYPTION_KEY,
    )
