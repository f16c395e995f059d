"""How command lines are read: lazily loaded verbs, options that every verb has, kinds of values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from interlock.cli.door import Door
from interlock.errors import InterlockError, UsageError

#: Where each verb lives and what it is for, so that help imports none of them: name -> (place, use).
Places = Mapping[str, tuple[str, str]]

_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(?P<number>[-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)\s*(?P<unit>[a-z]*)", re.I)
#: How a text begins that is a list, and not an option.
_LIST = re.compile(r"-\s")


class Verb(click.Command):
    """A command that does something; it has the common options besides its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; one that begins with a dash and a space, as a list does, is a text and no option."""
        takes = {name for one in self.params if isinstance(one, click.Option) and not one.is_flag for name in one.opts}
        before = ["", *args]
        texts = [word for last, word in zip(before, args, strict=False) if _LIST.match(word) and last not in takes]
        if texts and "--" not in args:
            args = [*(word for word in args if word not in texts), "--", *texts]
        return super().parse_args(ctx, args)


class Noun(click.Group):
    """A group of verbs, each imported when it is called. An unknown one is answered with the nearest.

    Args:
        places: The verbs.
        everywhere: All full commands there are, for better answers.
    """

    def __init__(self, name: str, places: Places, *, everywhere: Mapping[str, Places], **kwargs: Any) -> None:
        super().__init__(name, no_args_is_help=True, **kwargs)
        self._places = places
        self._everywhere = everywhere
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order they were written down."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A verb, imported now."""
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, use) for name, (_, use) in self._places.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one was probably meant.

        Raises:
            UsageError: there is no such verb.
        """
        given = str(args[0])
        if given in self._places or given.startswith("-"):
            return super().resolve_command(ctx, args)
        path = ctx.command_path
        raise UsageError(
            f"There is no command `{path} {given[:60]}`.",
            f"{self._guess(given, path)}`{path} --help` lists the commands.",
            code="usage.command",
        )

    def _guess(self, given: str, path: str) -> str:
        """Did you mean: the same verb below a noun, else the verb here that looks most like it."""
        below = [f"{noun} {given}".strip() for noun, places in self._everywhere.items() if given in places]
        near = difflib.get_close_matches(given, self._places, n=1, cutoff=0.5)
        if below:
            return f"Did you mean `interlock {below[0]}`? "
        if near:
            return f"Did you mean `{path} {near[0]}`? "
        return ""


def common_options() -> list[click.Parameter]:
    """The options that every verb accepts, before and after its name."""
    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_keep, help="Answer in JSON."),
        click.Option(["--home"], metavar="DIR", expose_value=False, callback=_keep, help="The folder of the store."),
        click.Option(["--profile"], metavar="NAME", expose_value=False, callback=_keep, help="The settings profile."),
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            callback=_keep,
            help="Whether to use colour.",
        ),
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_keep, help="No progress or hints."),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Remember a common option at the door, wherever it was given."""
    if value is None or value is False or ctx.resilient_parsing:
        return
    door = ctx.ensure_object(Door)
    match param.name:
        case "json":
            door.out.json = True
        case "quiet":
            door.out.quiet = True
        case "color":
            door.out.color = value
        case "home":
            door.home = value
        case "profile":
            door.profile = value


class Duration(click.ParamType[float]):
    """A length of time in seconds, or like `30m`, `2h`, `7d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it as seconds. Whether it may be negative is not said here."""
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None or match["unit"].lower() not in _UNITS:
            self.fail(f"{value!r} is no length of time; write it like 90, 30m, 2h or 7d.", param, ctx)
        return float(match["number"]) * _UNITS[match["unit"].lower()]


class Dollars(click.ParamType[float]):
    """An amount of US dollars, `5` or `5 USD`."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it as a number of dollars."""
        from interlock.records.money import usd_to_micros

        if isinstance(value, float):
            return value
        try:
            return usd_to_micros(str(value)) / 1_000_000
        except InterlockError as error:
            self.fail(error.user_message, param, ctx)


def as_pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """`("a=1", "b=2")` as a dictionary.

    Raises:
        UsageError: one of them has no `=`, or nothing before it.
    """
    return dict(_pairs(option, given))


def _pairs(option: str, given: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} {one[:60]!r} is not of the form key=value.", code="usage.option")
        yield key.strip(), value


def of_click(error: click.ClickException) -> UsageError:
    """What click found wrong with a command line, as an error of ours."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "interlock"
    says = error.format_message().strip()
    hint = ""
    if "unexpected extra argument" in says:
        hint = "A text of several words goes into quotes. "
    code = "usage.option" if isinstance(error, click.NoSuchOption | click.BadParameter) else "usage.command"
    says = says if says.endswith((".", "?", ")")) else f"{says}."
    return UsageError(says, f"{hint}`{path} --help` shows its use.", code=code)
