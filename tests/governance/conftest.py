"""What the governance tests share: secrets that are the same ones whatever ran before."""

from __future__ import annotations

import pytest

from tests.governance import fake_secrets


@pytest.fixture(autouse=True)
def _the_same_secrets_every_time(request: pytest.FixtureRequest) -> None:
    forge = getattr(request.module, "FORGE", None)
    if isinstance(forge, fake_secrets.Forge):
        forge.dice.seed(7)
