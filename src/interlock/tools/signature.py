"""What a Python function takes, read from its types and docstring: a JSON Schema for models, and a strict check."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from interlock.errors import ToolFailed, UsageError
from interlock.records.task import check_json
from interlock.tools.tool import Caller

_SECTION = re.compile(r"^\s*(args|arguments|parameters|params|returns?|yields?|raises|examples?)\s*:\s*$", re.I)
_GOOGLE = re.compile(r"^(\s*)\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_SPHINX = re.compile(r"^\s*:(param|type|returns?|rtype|raises)\b(?:[^:]*?\b(\w+))?\s*:\s*(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a function may be called by a model.

    Args:
        about: The docstring's text without its sections.
        schema: JSON Schema of the arguments.
        caller: The parameter that gets the `Caller`, or "".
    """

    about: str
    schema: Mapping[str, Any]
    caller: str
    _form: type[msgspec.Struct]

    def read(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them; those not given are left to the function's own defaults.

        Args:
            name: The tool, for the error.
            arguments: JSON values by parameter name.

        Raises:
            ToolFailed: code `tool.arguments`, when they do not fit.
        """
        refuse_unknown(name, arguments, self.schema["properties"])
        try:
            form = msgspec.convert(dict(arguments), self._form)
        except msgspec.ValidationError as error:
            raise misfit(name, str(error)) from None
        given = {field: getattr(form, field) for field in self._form.__struct_fields__}
        return {field: value for field, value in given.items() if value is not msgspec.UNSET}


def misfit(name: str, why: str) -> ToolFailed:
    """The error that tells a model what is wrong with its arguments."""
    return ToolFailed(
        f"The arguments of {name} do not fit: {why}.", "Correct the arguments and call it again.", code="tool.arguments"
    )


def refuse_unknown(name: str, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse arguments that are not JSON or that nobody declared.

    Raises:
        ToolFailed: code `tool.arguments`.
    """
    if not isinstance(arguments, Mapping):
        raise misfit(name, "they must be a JSON object")
    try:
        check_json(arguments, "the arguments")
    except UsageError as error:
        raise misfit(name, error.says.rstrip(".")) from None
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise misfit(name, f"there is no argument {unknown[0][:100]!r}; there are: {', '.join(known) or 'none'}")


def read_signature(fn: Callable[..., Any], name: str) -> Signature:
    """Read what a function takes.

    Args:
        fn: The function; every parameter must have a type that JSON can carry, or be a `Caller`.
        name: The tool's name, for errors.

    Raises:
        UsageError: code `usage.tool`: a parameter has no type, a type JSON cannot carry, or no name.
    """
    about, documented = read_docstring(inspect.getdoc(fn) or "")
    hints = _hints(fn, name)
    fields: list[Any] = []
    defaults: dict[str, Any] = {}
    caller = ""
    for parameter in inspect.signature(fn).parameters.values():
        annotation = _annotation(parameter, hints, name)
        if annotation is Caller:
            caller = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, annotation))
        else:
            fields.append((parameter.name, annotation | msgspec.UnsetType, msgspec.UNSET))
            defaults[parameter.name] = parameter.default
    form = msgspec.defstruct("Arguments", fields, kw_only=True)
    return Signature(about=about, schema=_schema(form, name, documented, defaults), caller=caller, _form=form)


def caller_parameter(fn: Callable[..., Any]) -> str:
    """The name of the parameter annotated as `Caller`, or ""; never raises for a function it cannot read."""
    try:
        hints = typing.get_type_hints(_hinted(fn))
    except (NameError, TypeError, AttributeError):
        return ""
    return next((parameter for parameter, hint in hints.items() if hint is Caller), "")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a docstring, Google's or Sphinx' way, into its text and what it says about each parameter."""
    about: list[str] = []
    parameters: dict[str, list[str]] = {}
    into: list[str] | None = about
    section, depth = "", 0
    for line in text.expandtabs().splitlines():
        if found := _SECTION.match(line):
            section, into, depth = found[1].lower(), None, 0
        elif found := _SPHINX.match(line):
            section = "sphinx"
            into = parameters.setdefault(found[2], [found[3]]) if found[1] == "param" and found[2] else None
        elif section[:3] in ("arg", "par") and (found := _GOOGLE.match(line)) and len(found[1]) <= (depth or 99):
            depth = len(found[1])
            into = parameters[found[2]] = [found[3]]
        elif section and line.strip() and not line.startswith(" "):
            section, into = "", about
            about.append(line)
        elif into is not None:
            into.append(line)
    described = {name: " ".join(" ".join(lines).split()) for name, lines in parameters.items()}
    return "\n".join(about).strip(), described


def _hinted(fn: Callable[..., Any]) -> Any:
    """Where the type hints stand: the function itself, what a partial wraps, or an object's `__call__`."""
    while hasattr(fn, "func"):
        fn = fn.func
    return fn if inspect.isroutine(fn) else type(fn).__call__


def _hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_hinted(fn), include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise _unfit(name, f"its types cannot be read ({error})") from error


def _annotation(parameter: inspect.Parameter, hints: Mapping[str, Any], name: str) -> Any:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise _unfit(name, f"the parameter {parameter.name!r} cannot be given by name")
    if parameter.name not in hints:
        raise _unfit(name, f"the parameter {parameter.name!r} has no type")
    return hints[parameter.name]


def _schema(
    form: type[msgspec.Struct], name: str, documented: Mapping[str, str], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        (reference,), components = msgspec.json.schema_components([form], ref_template="#/$defs/{name}")
    except TypeError:
        raise _unfit(name, _not_for_json(form)) from None
    own = components.pop(reference["$ref"].rsplit("/", 1)[1])
    for parameter, schema in own["properties"].items():
        if parameter in documented:
            schema.setdefault("description", documented[parameter])
        if parameter in defaults and _is_plain(defaults[parameter]):
            schema["default"] = msgspec.to_builtins(defaults[parameter])
    found = {key: own[key] for key in ("type", "properties", "required")} | {"additionalProperties": False}
    return found | ({"$defs": components} if components else {})


def _not_for_json(form: type[msgspec.Struct]) -> str:
    """Which parameter has a type that JSON cannot carry; a default says so by `| UnsetType`, which is ours."""
    for field in msgspec.structs.fields(form):
        try:
            msgspec.json.schema_components([field.type])
        except TypeError:
            told = getattr(field.type, "__name__", str(field.type).removesuffix(" | msgspec.UnsetType"))
            return f"the parameter {field.name!r} has the type {told}, which JSON cannot carry"
    return "its parameters have types that JSON cannot carry together"


def _is_plain(default: Any) -> bool:
    try:
        check_json(msgspec.to_builtins(default), "the default")
    except (TypeError, ValueError, UsageError):
        return False
    return True


def _unfit(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} cannot be a tool: {why}.",
        "Give every parameter a name and a type such as str, int, list[str], Literal or a dataclass.",
        code="usage.tool",
    )
