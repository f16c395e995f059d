"""The plans of bench/plans, the same for everybody: which step needs which, and the command line that chooses them.

Standard library only, since it runs in the peers' environment and in ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Steps by name, each with the names of those it needs; every step comes after what it needs.
Shape = Mapping[str, Sequence[str]]


def wide(steps: int) -> Shape:
    """Steps that need nothing from each other."""
    return {f"s{number}": () for number in range(steps)}


def deep(steps: int) -> Shape:
    """A chain."""
    return {f"s{number}": (f"s{number - 1}",) if number else () for number in range(steps)}


def diamonds(steps: int) -> Shape:
    """Diamonds in a row: one step, eight that need it, one that needs the eight."""
    found: dict[str, Sequence[str]] = {}
    before: tuple[str, ...] = ()
    for number in range(steps // 10):
        middle = tuple(f"middle-{number}-{place}" for place in range(8))
        found[f"top-{number}"] = before
        found |= dict.fromkeys(middle, (f"top-{number}",))
        found[f"end-{number}"] = middle
        before = (f"end-{number}",)
    return found


SHAPES = {"wide": wide, "deep": deep, "diamonds": diamonds}


@dataclass(frozen=True)
class PlanArguments:
    """What a contender of bench/plans is asked."""

    directory: str
    shapes: Mapping[str, Shape]
    fan_out: int
    pause_s: float


def plan_arguments(argv: list[str] | None = None) -> PlanArguments:
    """Read `--dir DIR --shapes wide:1000,deep:200 --fan-out 500 --pause 0.2`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--shapes", required=True)
    parser.add_argument("--fan-out", type=int, default=500)
    parser.add_argument("--pause", type=float, default=0.2)
    found = parser.parse_args(argv)
    asked = dict(one.split(":") for one in found.shapes.split(","))
    shapes = {name: SHAPES[name](int(steps)) for name, steps in asked.items()}
    return PlanArguments(directory=found.dir, shapes=shapes, fan_out=found.fan_out, pause_s=found.pause)


def layers(shape: Shape) -> list[list[str]]:
    """The steps in the order in which they may be done at the same time."""
    depth: dict[str, int] = {}
    found: list[list[str]] = []
    for name, needs in shape.items():
        depth[name] = 1 + max((depth[need] for need in needs), default=-1)
        if depth[name] == len(found):
            found.append([])
        found[depth[name]].append(name)
    return found
