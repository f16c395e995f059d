"""Ids that users choose."""

from __future__ import annotations

import pytest

from interlock.errors import UsageError
from interlock.platform.ids import check_id


@pytest.mark.parametrize("given", ["a", "job-1", "a.b_c:d@e+f", "x" * 200])
def test_a_plain_id_is_accepted(given: str) -> None:
    assert check_id(given) == given


@pytest.mark.parametrize("given", ["", "job-1\n", "\njob-1", "job\n1", "-x", "../etc", "x" * 201, "jöb"])
def test_an_id_that_could_not_be_typed_or_printed_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_id(given)
    assert caught.value.code == "usage.id"
