"""What runs between fork and exec, in a process of its own: builds the walls around itself, then becomes the program.

It is started as a fresh, single-threaded interpreter without site packages, so nothing of a threaded parent's locks
or memory is here. It imports nothing of Interlock. Whatever cannot be done stops it before the program begins.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # without importing typing, which takes longer than all the rest
    from typing import Any

# linux/prctl.h
_PDEATHSIG, _CAPBSET_DROP, _SECCOMP, _NO_NEW_PRIVS = 1, 24, 22, 38
# linux/landlock.h; the numbers are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
#: What may be said about a file; the other rights are about directories.
_OF_FILES = 0x1 | 0x2 | 0x4 | 0x4000 | 0x8000
#: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID: those of files, which Landlock watches.
_CAPABILITIES_KEPT = 0b11111
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def landlock_abi() -> int:
    """Which version of Landlock the kernel has; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    version: int = _libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(0, version)


def build_walls(order: dict[str, Any]) -> None:
    """Restrict this process, for good, and all that come from it.

    Args:
        order: `parent` (its process id, or 0 where something else sees to that), `limits`, `rules` (or None for no
            Landlock), `network`, `filter` (the seccomp program, or empty for none).

    Raises:
        OSError: a wall could not be built.
    """
    if order["parent"]:
        _prctl(_PDEATHSIG, 9)
        if os.getppid() != order["parent"]:  # it ended before this process asked to be told
            os._exit(137)
    for kind, most in order["limits"]:
        _limit(kind, most)
    _prctl(_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    if order["rules"] is not None:
        _landlock(order["rules"], order["network"])
    if order["filter"]:
        _seccomp(order["filter"])
        if not order["network"] and _libc.socket(2, 1, 0) >= 0:
            raise OSError(0, "the filter does not hold")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, *values: int) -> None:
    words = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *words), f"prctl {option}")


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _drop_capabilities() -> None:
    """Keep those that are about files, where there are any: all others let root go around the walls."""
    header = struct.pack("=Ii", 0x20080522, 0)
    held = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, held), "capget")
    effective, permitted, _, high_effective, high_permitted, _ = struct.unpack("=6I", held.raw)
    if not permitted | high_permitted | effective | high_effective:
        return
    for number in range(_LAST_CAPABILITY + 1):
        if not _CAPABILITIES_KEPT >> number & 1:
            _libc.prctl(_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)  # beyond the last, or not ours to drop
    kept = permitted & _CAPABILITIES_KEPT
    _checked(_libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)), "capset")


def _landlock(rules: list[tuple[str, int, bool]], network: bool) -> None:
    abi = landlock_abi()
    files = 0x7FFF | (0x8000 if abi >= 5 else 0)
    wanted = struct.pack("=3Q", files, 0 if network or abi < 4 else 0x3, 0x3)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _checked(
        _libc.syscall(ctypes.c_long(_CREATE_RULESET), wanted, ctypes.c_size_t(size), ctypes.c_uint(0)), "landlock"
    )
    for path, rights, follow in rules:
        _allow(ruleset, path, rights & files, follow)
    _checked(_libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int, follow: bool) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError:
        return  # not there (any more), or out of reach: then nothing needs to be allowed
    mode = os.fstat(place).st_mode
    if not stat.S_ISDIR(mode):
        rights &= _OF_FILES
    if rights and not stat.S_ISLNK(mode):
        rule = struct.pack("=Qi", rights, place)
        asked = (ctypes.c_long(_ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0))
        _checked(_libc.syscall(*asked), f"landlock rule for {path}")
    os.close(place)


def _seccomp(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _checked(_libc.prctl(_SECCOMP, ctypes.c_ulong(2), head, ctypes.c_ulong(0), ctypes.c_ulong(0)), "seccomp")


def launch(channel: int) -> None:
    """Read an order from a file in memory, build the walls, and become the program; on failure, say why in that file.

    Args:
        channel: The descriptor of the file; the program does not get it.
    """
    os.set_inheritable(channel, False)
    what = "walls"
    try:
        order = marshal.loads(os.pread(channel, os.fstat(channel).st_size, 0))
        os.ftruncate(channel, 0)  # says that this point was reached
        build_walls(order)
        what = "exec"
        os.execve(order["program"], order["argv"], os.environ)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the program must not run
        os.pwrite(channel, marshal.dumps((what, getattr(error, "errno", None) or 0, str(error))), 0)
        os._exit(126)
