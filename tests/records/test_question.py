"""Whose answer counts: names of one person are one name, however they are written."""

from __future__ import annotations

import pytest

from interlock.records.question import same_person


@pytest.mark.parametrize(
    "other",
    [
        *(
            "Ren\u00e9",
            "REN\u00c9",
            " ren\u00e9 ",
            "rene\u0301",
            "\uff52\uff45\uff4e\u00e9",
            "ren\u00e9\u00a0",
            "ren\u00e9\ufe0f",
        ),
        *("re\u200bn\u00e9", "ren\u00e9\u034f", "re\u00adn\u00e9", "ren\u00e9\u3164"),
    ],
)
def test_no_spelling_makes_two_of_one_person(other: str) -> None:
    assert same_person("ren\u00e9", other)
    assert same_person(other, "ren\u00e9")


def test_other_people_and_nobody_stay_others() -> None:
    assert same_person("Rana  Khan", "rana khan")
    assert not same_person("rana", "rena")
    assert not same_person("rana", "")
    assert not same_person("\u3164", "\u3164")
    assert not same_person("rana", None)
