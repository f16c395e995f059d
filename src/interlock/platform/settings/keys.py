"""API keys: where they are found, how they are recognised where they must not be, and why nobody sees them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interlock.errors import SettingsError
from interlock.records.masking import holds_key

_SECRET_NAME = re.compile(r"(^key|api_?key|_key|token|password|passwd|secrets?|credentials?)$")
#: A whole value that can be nothing but a key, however short.
_WHOLE_KEY = re.compile(r"""\s*['"]?sk-[A-Za-z0-9]\S*\s*""")
_MAX_KEY_FILE = 64 * 1024


def names_a_secret(name: str) -> bool:
    """Whether a setting of this name would hold a secret: `api_key`, `apiKey`, `GITHUB_TOKEN`, `password` ..."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return _SECRET_NAME.search(snake) is not None


def is_a_secret(value: Any) -> bool:
    """Whether this text looks like a key: `sk-...`, a private key, an address with a password ..."""
    return isinstance(value, str) and (_WHOLE_KEY.fullmatch(value) is not None or holds_key(value))


def masked(text: str) -> str:
    """The text as messages may show it: all of it, or nothing where it holds what looks like a key."""
    return "(hidden: it looks like a key)" if is_a_secret(text) else text


class Keys(Mapping[str, str]):
    """API keys by provider. Reading one gives it; showing, copying or pickling them all shows none."""

    __slots__ = ("_held",)

    def __init__(self, held: Mapping[str, str] | None = None) -> None:
        self._held = dict(held or {})

    def __getitem__(self, provider: str) -> str:
        return self._held[provider]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"Keys({', '.join(f'{name}=set' for name in self._held)})"

    def __copy__(self) -> Keys:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Keys:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("API keys are not pickled; read them again with settings.load().")


def key_file(variable: str, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file that `<variable>_FILE` names, or None; see `find_key`."""
    named = environ.get(f"{variable}_FILE", "").strip()
    return cwd / os.path.expanduser(named) if named else None


def find_key(variable: str, environ: Mapping[str, str], cwd: Path) -> tuple[str, str] | None:
    """The key that an environment variable, or the file named by `<variable>_FILE`, holds.

    Args:
        variable: For example `OPENAI_API_KEY`.
        environ: The environment.
        cwd: What a relative file name starts from.

    Returns:
        The key and the variable it came from; None where there is none, or only white space.

    Raises:
        SettingsError: the file cannot be read, or the key could not be sent.
    """
    if key := environ.get(variable, "").strip():
        return usable(key, variable), variable
    if path := key_file(variable, environ, cwd):
        variable = f"{variable}_FILE"
        key = _read_key(path, variable)
        return (usable(key, variable), variable) if key else None
    return None


def usable(key: str, source: str) -> str:
    """The key itself, if a request can carry it.

    Raises:
        SettingsError: it holds white space, line breaks or letters outside ASCII. The key is not shown.
    """
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    raise SettingsError(
        f"{source} is no usable key: it holds spaces, line breaks or letters that no key has.",
        f"Set {source} again; perhaps it was pasted with something else.",
        code="settings.bad_key",
    )


def _read_key(path: Path, variable: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")
        with path.open("rb") as file:
            found = file.read(_MAX_KEY_FILE + 1)
        if len(found) > _MAX_KEY_FILE:
            raise OSError("too large for a key")
        return found.decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no file with a key"
        raise SettingsError(
            f"{variable} names a file that cannot be read ({reason.lower()}).",
            f"Correct {variable}, or take it away.",
            code="settings.key_file",
        ) from None
