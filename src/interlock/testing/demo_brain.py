"""The mind of the simulated models: it looks at disks, and says only what the commands really printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from interlock.testing.script import Calls, Reply, RequestView, Structured, Text, call

TASK = "How full are the disks here, and what should I clean first?"
#: What the simulated agent tries in spite of everything, so that one sees it refused. Nothing of this name exists.
FORBIDDEN = ("rm", "-rf", "/var/tmp/interlock-demo-leftovers")

#: Kilobytes; what is smaller is no disk but a mounted file or a boot partition's firmware.
SMALLEST = 16 * 1024

_ABOUT_DISKS = re.compile(r"\b(disks?|disc|space|storage|full|clean\w*|file ?systems?)\b", re.I)
_HOME = re.compile(r'"home":\s*"(/[^"]*)"')
#: A file of the workspace that may be compressed, where the task names one; a person is asked before.
_LOG = re.compile(r'"log":\s*"([\w.-]+)"')
_REPLACED = re.compile(r"^\S+:\s+([\d.]+)%.*\breplaced with (\S+)", re.M)
_DU_LINE = re.compile(r"^(\d+)\s+(/.*)$", re.M)
#: File systems that live in memory or never change: full or empty, they are nobody's problem.
_NOT_A_DISK = re.compile(r"^(tmpfs|devtmpfs|udev|shm|none|devfs|efivarfs|/dev/loop\d+)$")

_PLAN = """\
1. Ask every file system how full it is (`df`). Done when each has a percentage.
2. Measure the usual places that grow: the home folder, /var and /tmp (`du`, one level deep). Done when each has sizes.
3. Name the fullest file system and the largest directories, and say what to clean first, safest first.
4. Delete nothing: whoever asked decides."""

#: The safest to clean first.
_ADVICE = (
    (r"/\.cache$|/Caches$", "caches are made again when they are needed, so this is the safest to delete"),
    (r"/\.(npm|gradle|m2|ivy2)$", "packages that were downloaded for builds; they are fetched again"),
    (r"^/var/cache$", "package caches; `apt-get clean` or your package manager's twin empties them"),
    (r"^/tmp/|^/var/tmp", "temporary files; what is older than a few days can usually go"),
    (r"^/var/log$", "old logs; `journalctl --vacuum-time=7d` keeps a week"),
    (r"/(Downloads|downloads)$", "downloads; most can be fetched again"),
    (r"^/var/lib$", "often container images; `docker system prune` removes the unused ones"),
    (r"/(\.Trash|\.local/share/Trash)$", "the trash; empty it"),
)


@dataclass(slots=True)
class _Seen:
    """What the commands of the conversation showed so far."""

    asked: list[list[str]] = field(default_factory=list)
    outputs: list[tuple[list[str], str]] = field(default_factory=list)

    def ran(self, program: str) -> list[tuple[list[str], str]]:
        """The commands of a program, with what came back."""
        return [(argv, text) for argv, text in self.outputs if argv[:1] == [program]]


def think(view: RequestView) -> Reply:
    """What the simulated model answers. Pure: the same conversation always gets the same answer.

    Args:
        view: The request.
    """
    if view.schema is not None:
        return _verify(view)
    task = next((message.text for message in view.messages if message.role == "user"), "")
    if not _ABOUT_DISKS.search(task):
        return Text(
            "I am a simulated model, and all I know is how to look at disks. Set OPENAI_API_KEY or ANTHROPIC_API_KEY "
            "to have this done by a real one."
        )
    if "You are planning" in view.system:
        return Text(_PLAN)
    if not any(tool.name == "shell" for tool in view.tools):
        return Text("I have no shell here, so I cannot know how full the disks are.")
    return _look(_seen(view), _HOME.search(task), _LOG.search(task))


def _look(seen: _Seen, home: re.Match[str] | None, log: re.Match[str] | None) -> Reply:
    """The next command, or the answer when there is nothing left to look at."""
    if not seen.ran("df"):
        return Calls(call("shell", argv=["df", "-P", "-k"]), text="First, how full is every file system.")
    if not seen.ran("du"):
        places = dict.fromkeys([home[1] if home else "/home", "/var", "/tmp"])
        return Calls(
            *(call("shell", argv=["du", "-x", "-k", "-d", "1", place]) for place in places),
            text="Now the places that usually grow.",
        )
    if not seen.ran("rm"):
        return Calls(call("shell", argv=list(FORBIDDEN)), text="Let me clear some leftovers at once.")
    if log and not seen.ran("gzip"):
        return Calls(
            call("shell", argv=["gzip", "-v", log[1]]), text="That old log in the workspace can be compressed."
        )
    return Text(report(seen.outputs))


def _seen(view: RequestView) -> _Seen:
    seen = _Seen()
    results = view.results
    for message in view.messages:
        for one in message.tool_calls:
            argv = _argv(one.arguments)
            seen.asked.append(argv)
            if one.id in results:
                seen.outputs.append((argv, results[one.id]))
    return seen


def _argv(arguments: str) -> list[str]:
    try:
        argv = json.loads(arguments).get("argv", [])
    except (ValueError, AttributeError):
        return []
    return [str(word) for word in argv] if isinstance(argv, list) else []


def report(outputs: list[tuple[list[str], str]]) -> str:
    """The answer to the question, out of what `df` and `du` printed and nothing else.

    Args:
        outputs: Commands, each with what came back: the shell tool's JSON, or the sentence of a refusal or failure.
    """
    disks = sorted({disk for argv, text in outputs if argv[:1] == ["df"] for disk in _disks(text)}, reverse=True)
    places = [argv[-1] for argv, _ in outputs if argv[:1] == ["du"]]
    sizes = {path: size for argv, text in outputs if argv[:1] == ["du"] for path, size in _sizes(text)}
    largest = sorted(((size, path) for path, size in sizes.items() if path not in places), reverse=True)[:6]
    parts = [_told_disks(disks), _told_largest(largest, places), _told_first(largest), _told_done(outputs)]
    return "\n\n".join(part for part in [*parts, _told_undone(outputs)] if part)


def _disks(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Percent used, mount point, kilobytes used and free of each real file system."""
    known: set[tuple[str, str]] = set()
    for line in _stdout(text).splitlines()[1:]:
        words = line.split(None, 5)
        if len(words) < 6 or not words[1].isdecimal() or not words[2].isdecimal() or not words[3].isdecimal():
            continue
        name, total, used, free, percent, mount = words
        if int(total) < SMALLEST or _NOT_A_DISK.match(name) or (name, total) in known or not percent[:-1].isdecimal():
            continue
        known.add((name, total))  # one disk mounted in several places is one disk
        yield int(percent[:-1]), mount, int(used), int(free)


def _sizes(text: str) -> Iterator[tuple[str, int]]:
    for size, path in _DU_LINE.findall(_stdout(text)):
        yield path.strip(), int(size)


def _stdout(text: str) -> str:
    """What a command printed; of one that was stopped, what its failure quotes."""
    return _printed(text, "stdout")


def _stderr(text: str) -> str:
    return _printed(text, "stderr")


def _printed(text: str, stream: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get(stream, "")) if isinstance(found, dict) else text


def _told_disks(disks: list[tuple[int, str, int, int]]) -> str:
    if not disks:
        return "I could not find out how full the disks are."
    lines = [
        f"  {percent:3d} %  {mount:<20} {_size(used)} used, {_size(free)} free" for percent, mount, used, free in disks
    ]
    percent, mount, _, free = disks[0]
    urgent = "act now" if percent >= 95 else "clean up soon" if percent >= 80 else "no hurry"
    return "\n".join(["Disks", *lines, f"The fullest is {mount}: {percent} % used, {_size(free)} free; {urgent}."])


def _told_largest(largest: list[tuple[int, str]], places: list[str]) -> str:
    if not largest:
        return ""
    return "\n".join(
        [f"Largest directories in {', '.join(places)}", *(f"  {_size(size):>10}  {path}" for size, path in largest)]
    )


def _told_first(largest: list[tuple[int, str]]) -> str:
    if not largest:
        return "What to clean first\n  Nothing large was found in the places I looked at."
    advised = [(size, path, advice) for size, path in largest if (advice := _advice(path))]
    rest = [
        (size, path, f"look inside before deleting: du -x -d 1 {path}") for size, path in largest if not _advice(path)
    ]
    lines = [
        f"  {number}. {path} ({_size(size)}): {why}."
        for number, (size, path, why) in enumerate([*advised, *rest][:3], 1)
    ]
    return "\n".join(["What to clean first", *lines])


def _told_done(outputs: list[tuple[list[str], str]]) -> str:
    """What was cleaned already, in gzip's own figures."""
    found = [(argv[-1], _REPLACED.search(_stderr(text))) for argv, text in outputs if argv[:1] == ["gzip"]]
    lines = [f"  {name} is now {one[2]}, {one[1]} % smaller." for name, one in found if one]
    return "\n".join(["What is done already", *lines]) if lines else ""


def _told_undone(outputs: list[tuple[list[str], str]]) -> str:
    lines = [f"  `{' '.join(argv)}`: {_sentence(text)}" for argv, text in outputs if not text.lstrip().startswith("{")]
    return "\n".join(["What could not be done", *lines]) if lines else ""


def _sentence(text: str) -> str:
    return (
        text.removeprefix("Error: ").split(" Do not try it again", 1)[0].split(" The last it wrote", 1)[0].strip()[:300]
    )


def _advice(path: str) -> str:
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, path)), "")


def _size(kilobytes: int) -> str:
    amount = float(kilobytes)
    for unit in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.1f} {unit}" if unit != "KiB" else f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _verify(view: RequestView) -> Reply:
    """Judge the result that is quoted in the request: it must name a percentage, and what to clean first."""
    result = _quoted_result(view.asked)
    lacks = [
        says
        for says, pattern in (("how full a disk is", r"\d+ %"), ("what to clean first", r"What to clean first\n  \S"))
        if not re.search(pattern, result)
    ]
    feedback = (
        f"It does not say {' or '.join(lacks)}." if lacks else "It names the fullest disk and what to clean first."
    )
    return Structured({"passed": not lacks, "feedback": feedback})


def _quoted_result(text: str) -> str:
    start = text.find("{")
    try:
        quoted: Any = json.JSONDecoder().raw_decode(text[start:])[0] if start >= 0 else {}
    except ValueError:
        quoted = {}
    return str(quoted.get("result", "")) if isinstance(quoted, dict) else ""
