"""Importing the shop window of interlock.testing costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import interlock.testing

VENDORS = ("aiohttp", "openai", "anthropic", "pytest", "msgspec")


def loaded_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split()) & set(VENDORS)


def test_importing_the_package_imports_no_vendor_and_no_server():
    assert loaded_after("import interlock.testing") == set()


def test_writing_a_script_imports_no_vendor_and_no_server():
    names = "SimulatedProvider, Text, Fault"
    loaded = loaded_after(f"from interlock.testing import {names}; SimulatedProvider([Text('x'), Fault.reset()])")
    assert loaded <= {"msgspec"}


def test_every_listed_name_exists_and_no_other_does():
    assert interlock.testing.__all__ == dir(interlock.testing)
    for name in dir(interlock.testing):
        assert getattr(interlock.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        assert interlock.testing.Nothing
