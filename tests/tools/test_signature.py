"""What a function takes, read from its docstring in the two common ways."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.tools.signature import read_docstring

GOOGLE = """Find it.

    More about it: with a colon.

    Args:
        name (str, optional): The name.
            key: value in a continued line.
        *others: The others.

        count: After an empty line.
    Raises:
        ValueError: never: shown.
    Note: this stays.
    """

SPHINX = """Find it.

    See :meth:`other`.

    :param str name: The name,
        continued.
    :param count: How many.
    :type count: int
    :raises ValueError: if not
    :rtype: int
    """


def test_googles_way() -> None:
    about, described = read_docstring(inspect.cleandoc(GOOGLE))
    assert about == "Find it.\n\nMore about it: with a colon.\n\nNote: this stays."
    assert described == {
        "name": "The name. key: value in a continued line.",
        "others": "The others.",
        "count": "After an empty line.",
    }


def test_sphinx_way() -> None:
    about, described = read_docstring(inspect.cleandoc(SPHINX))
    assert about == "Find it.\n\nSee :meth:`other`."
    assert described == {"name": "The name, continued.", "count": "How many."}


@pytest.mark.parametrize("text", ["", "One line.", "Two\nlines."])
def test_a_docstring_without_sections_is_all_text(text: str) -> None:
    assert read_docstring(text) == (text, {})


@given(st.lists(st.sampled_from(["Args:", "  a: b", "    c", "d", "", ":param x: y", ":return: z", "Returns:", "\t:"])))
def test_no_docstring_is_too_odd(lines: list[str]) -> None:
    about, described = read_docstring("\n".join(lines))
    assert isinstance(about, str)
    assert set(described) <= {"a", "x"}
