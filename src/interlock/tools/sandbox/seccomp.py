"""The system call filter: what no command needs, refused by the kernel whatever program asks."""

from __future__ import annotations

import os
import struct
import sys
from functools import cache

_ALLOW, _REFUSE, _MISSING = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Where seccomp_data holds what: the call's number, the architecture, the low half of the first two arguments.
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24
#: CLONE_NEW* for mounts, cgroups, names, IPC, users, processes and networks.
_NEW_NAMESPACES = 0x7E020000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_FAKE_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

#: Numbers by architecture: x86_64, aarch64 (None where there is none). What reaches into other processes, changes
#: the machine, or opens parts of the kernel that have been ways out of sandboxes.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
#: What changes a file's owner, mode and attributes, which Landlock does not watch.
_METADATA: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
#: The architecture's mark, and the numbers of socket, ioctl, clone and clone3.
_MACHINES = {
    "x86_64": (0, 0xC000003E, (41, 16, 56, 435)),
    "aarch64": (1, 0xC00000B7, (198, 29, 220, 435)),
}


def machine() -> str:
    """The architecture, where there is a filter for it; otherwise nothing."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return ""
    found = os.uname().machine
    return found if found in _MACHINES else ""


@cache
def filter_program(architecture: str, *, network: bool, metadata: bool) -> bytes:
    """The filter as the kernel reads it.

    Args:
        architecture: `x86_64` or `aarch64`.
        network: Whether sockets may be made. Without it none are, local ones included: through those, a command could
            ask other programs (Docker, an SSH agent) to do what it may not do itself.
        metadata: Whether modes and owners of files may be changed.
    """
    column, mark, (socket, ioctl, clone, clone3) = _MACHINES[architecture]
    refused = _REFUSED if metadata else {**_REFUSED, **_METADATA}
    program = [_step(_LOAD, _ARCH), _step(_EQUAL, mark, 1, 0), _step(_RETURN, _REFUSE), _step(_LOAD, _NUMBER)]
    if architecture == "x86_64":  # the x32 numbers of the same calls
        program += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, _REFUSE)]
    for numbers in refused.values():
        if (number := numbers[column]) is not None:
            program += _if(number, [_step(_RETURN, _REFUSE)])
    # It takes its flags where no filter can see them; without it, libraries use clone.
    program += _if(clone3, [_step(_RETURN, _MISSING)])
    program += _if(clone, [_step(_LOAD, _FIRST), _step(_ANY_OF, _NEW_NAMESPACES, 0, 1), *_end()])
    fake = [step for request in _FAKE_INPUT for step in (_step(_EQUAL, request, 0, 1), _step(_RETURN, _REFUSE))]
    program += _if(ioctl, [_step(_LOAD, _SECOND), *fake, _step(_RETURN, _ALLOW)])
    families = (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK) if network else ()
    known = [step for family in families for step in (_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW))]
    program += _if(socket, [_step(_LOAD, _FIRST), *known, _step(_RETURN, _REFUSE)])
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)


def _if(number: int, then: list[bytes]) -> list[bytes]:
    return [_step(_EQUAL, number, 0, len(then)), *then]


def _end() -> list[bytes]:
    return [_step(_RETURN, _REFUSE), _step(_RETURN, _ALLOW)]
