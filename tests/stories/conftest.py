"""A shell without keys, and one whose models are simulated by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.testing import SimulatedProvider
from tests.stories.shell import Shell


@pytest.fixture
def bytecode(request: pytest.FixtureRequest) -> Path:
    """A folder for compiled code that outlives the test."""
    cache = request.config.cache
    assert cache is not None
    return Path(cache.mkdir("interlock-bytecode"))


@pytest.fixture
def shell(tmp_path: Path, bytecode: Path) -> Shell:
    """A shell in an empty folder, without keys."""
    return Shell(tmp_path, bytecode)


@pytest.fixture
def sim() -> Iterator[SimulatedProvider]:
    """A simulated provider; tests set its script."""
    with SimulatedProvider() as provider:
        yield provider


@pytest.fixture
def served(tmp_path: Path, bytecode: Path, sim: SimulatedProvider) -> Shell:
    """A shell whose models are the simulated provider."""
    return Shell(tmp_path, bytecode, sim.env())
