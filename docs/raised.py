"""Every error code that the source raises, found in its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from interlock import errors

Kind = type[errors.InterlockError]
#: Codes that are put together where they are raised.
PUT_TOGETHER = {"usage.{name}": ("usage.estimated_cost", "usage.max_cost", "usage.timeout")}
#: Lists of `(..., code, says, do)` that errors are made from.
LISTS = ("_EXPLAINED",)


@dataclass(slots=True)
class Raised:
    """One code as the source raises it."""

    kind: Kind
    says: list[str] = field(default_factory=list)
    does: list[str] = field(default_factory=list)

    def add(self, says: str, do: str) -> None:
        """Note one more place."""
        for text, known in ((says, self.says), (do, self.does)):
            if text and text not in known:
                known.append(text)


def raised_codes(source: Path) -> dict[str, Raised]:
    """Every code below a folder of sources, with what is said where it is raised."""
    found = {code: Raised(cls) for code, cls in errors.BY_CODE.items()}
    for path in sorted(source.rglob("*.py")):
        for code, kind, says, do in _codes_in(ast.parse(path.read_text())):
            entry = found.setdefault(code, Raised(kind or type(errors.from_code(code, ""))))
            entry.add(says, do)
    return found


def _codes_in(module: ast.Module) -> Iterator[tuple[str, Kind | None, str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield from _codes_of_call(node)
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") in LISTS and node.value:
            for entry in ast.literal_eval(node.value):
                yield entry[1], None, f"The store {entry[2]}", entry[3]


def _codes_of_call(node: ast.Call) -> Iterator[tuple[str, Kind | None, str, str]]:
    given = {one.arg: one.value for one in node.keywords if one.arg}
    match node:
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="code"), code]):
            given["code"] = code  # the code of a recorded error, or this one where it has none
            node = ast.Call(func=node.func, args=[], keywords=[])
        case _ if "code" not in given:
            return
    template = _template(given["code"], "{%s}")
    if not template:
        return
    says = _template(node.args[0] if node.args else given.get("says"), "…")
    do = _template(node.args[1] if len(node.args) > 1 else given.get("do"), "…")
    kind = getattr(errors, getattr(node.func, "id", ""), None)
    for name in (template,) if "{" not in template else PUT_TOGETHER[template]:
        yield name, kind if isinstance(kind, type) else None, says, do


def _template(node: ast.expr | None, hole: str) -> str:
    """A text of the source with its variable parts as holes; empty where it is no literal."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else (hole % ast.unparse(part.value) if "%" in hole else hole)
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        case _:
            return ""
