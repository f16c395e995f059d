"""The system call filter, read step by step as the kernel reads it, for both processors it is written for."""

from __future__ import annotations

import struct

import pytest

from interlock.tools.sandbox.seccomp import filter_program

ALLOW, REFUSE, MISSING = 0x7FFF0000, 0x00050001, 0x00050026
MARKS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: ptrace, mount, unshare, io_uring_setup, bpf / read, openat, execve, kill / socket, clone, clone3, ioctl, fchmod
REFUSED = {"x86_64": (101, 165, 272, 425, 321), "aarch64": (117, 40, 97, 425, 280)}
FINE = {"x86_64": (0, 257, 59, 62), "aarch64": (63, 56, 221, 129)}
SPECIAL = {"x86_64": (41, 56, 435, 16, 91), "aarch64": (198, 220, 435, 29, 52)}


def answer(program: bytes, mark: int, number: int, *arguments: int) -> int:
    """What a filter says to a call."""
    data = struct.pack("=IIQ6Q", number, mark, 0, *arguments, *(0,) * (6 - len(arguments)))
    at, held = 0, 0
    while True:
        code, true, false, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        match code:
            case 0x20:
                held = struct.unpack_from("=I", data, value)[0]
            case 0x15:
                at += true if held == value else false
            case 0x35:
                at += true if held >= value else false
            case 0x45:
                at += true if held & value else false
            case 0x06:
                return int(value)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_no_command_needs_is_refused_and_the_rest_goes_through(machine: str) -> None:
    program, mark = filter_program(machine, network=False, metadata=True), MARKS[machine]
    assert {answer(program, mark, number) for number in REFUSED[machine]} == {REFUSE}
    assert {answer(program, mark, number) for number in FINE[machine]} == {ALLOW}
    other = next(one for one in MARKS.values() if one != mark)
    assert answer(program, other, FINE[machine][0]) == REFUSE, "another processor's numbers mean other calls"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_some_calls_are_judged_by_their_arguments(machine: str) -> None:
    socket, clone, clone3, ioctl, fchmod = SPECIAL[machine]
    closed, mark = filter_program(machine, network=False, metadata=False), MARKS[machine]
    opened = filter_program(machine, network=True, metadata=True)
    assert {answer(closed, mark, socket, family) for family in (1, 2, 10, 16, 17, 40)} == {REFUSE}
    assert {answer(opened, mark, socket, family) for family in (1, 2, 10, 16)} == {ALLOW}
    assert {answer(opened, mark, socket, family) for family in (17, 38, 40)} == {REFUSE}
    assert answer(opened, mark, clone, 0x003D0F00) == ALLOW, "a thread"
    assert answer(opened, mark, clone, 0x10000000 | 17) == REFUSE, "a user namespace"
    assert answer(opened, mark, clone3) == MISSING
    assert (answer(opened, mark, ioctl, 0, 0x5401), answer(opened, mark, ioctl, 0, 0x5412)) == (ALLOW, REFUSE)
    assert (answer(opened, mark, fchmod), answer(closed, mark, fchmod)) == (ALLOW, REFUSE)


def test_the_second_set_of_numbers_of_a_processor_is_no_way_around() -> None:
    program = filter_program("x86_64", network=True, metadata=True)
    assert answer(program, MARKS["x86_64"], 0x40000000 | 101) == REFUSE
