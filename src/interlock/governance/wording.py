"""Does a task's text ask for something to be destroyed? A hint worth a question; the control is at the act itself."""

from __future__ import annotations

import re
import unicodedata

#: Longest text that is read; one that long is asked about.
MAX_TEXT = 100_000

_DESTROY = (
    r"drop|delete|erase|wipe|purge|truncate|destroy|remove|terminate|kill|shred|uninstall|disable|decommission|nuke|"
    r"overwrite|eliminate|obliterate|flush|clear(?: out)?|clean out|empty|get rid of|shut ?down|tear down|take down|"
    r"reset|revoke|flushall|flushdb|force[- ]push|dispose of|throw away|"
    r"supprime[rz]?|efface[rz]?|lösche[n]?|entferne[n]?|borra[r]?|elimina[r]?|apaga[r]?|cancella"
)
_DESTROYING = (
    r"dropping|deleting|erasing|wiping|purging|truncating|destroying|removing|terminating|killing|shredding|"
    r"uninstalling|disabling|eliminating|clearing|emptying|getting rid of|shutting down|tearing down|flushing"
)
_THINGS = (
    r"tables?|databases?|db|schemas?|collections?|indexe?s?|rows?|records?|users?|accounts?|customers?|orders?|payments?|"
    r"tenants?|data|backups?|snapshots?|files?|director(?:y|ies)|folders?|disks?|drives?|volumes?|partitions?|mailbox(?:es)?|"
    r"logs?|servers?|hosts?|machines?|instances?|vms?|clusters?|nodes?|pods?|namespaces?|deployments?|services?|containers?|"
    r"queues?|topics?|buckets?|firewalls?|monitoring|alerts?|process(?:es)?|repositor(?:y|ies)|repos?|branch(?:es)?|tags?|main|"
    r"master|histor(?:y|ies)|commits?|keys?|certificates?|secrets?|permissions?|production|prod|redis|cache|everything|"
    r"all|toutes?|tous|alle|base|todos?|todas?|/\S+"
)
_COMMANDS = (
    r"\brm\s+-\w*[rf]|\bdrop\s+(?:table|database|schema)\b|\btruncate\s+table\b|\bdelete\s+from\b|\bmkfs|\bdd\s+if=|"
    r"\bterraform\s+destroy\b|\bgit\s+push\s+\S*\s*(?:-f\b|--force)|\bkubectl\s+delete\b|\bflush(?:all|db)\b|\bshutdown\s+-|"
    r"\bforce[- ]push"
)
#: A sentence that begins so asks about something, or writes about it, instead of doing it.
_ASKING = re.compile(
    r"(?:explain|describe|document|define|why|what|how|when|where|who|which|is|are|does|do|did|list|show|find|count|give|"
    r"tell|write|draft|summari[sz]e|compare|estimate|analy[sz]e|investigate|review|check|search|report|translate)\b"
)
_FILLER = r"(?:(?:please|now|also|just|then|first|finally|next|and|or|to|go|ahead|you|can|could|must|should|let's)\s+)*"
_ORDER = re.compile(rf"{_FILLER}(?:{_DESTROY})\b(?P<rest>.*)")
_MEANS = re.compile(rf"\b(?:by|through)\s+(?:{_DESTROYING})\b(?P<rest>.*)")
_FORMAT = re.compile(rf"{_FILLER}(?:re)?format\b.*(?:/dev/|\b(?:disk|drive|partition|volume)\b)")
_THING = re.compile(rf"(?<![\w/])(?:{_THINGS})(?!\w)")
_CLAUSES = re.compile(r"[.;:!?]\s+|[,\n]|\s+(?:and|then|und|et|y)\s+")
_SPELLED_OUT = re.compile(r"\b\w(?:[.\-_*]\w){2,}\b")


def asks_to_destroy(text: str) -> bool:
    """Whether some part of a text reads like an order to delete, stop or overwrite what others rely on.

    Meant to be answered with a question to a person: it misses what is put cleverly, and stops some harmless texts.
    """
    if len(text) > MAX_TEXT:
        return True
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    text = _SPELLED_OUT.sub(lambda found: re.sub(r"[.\-_*]", "", found[0]), text)
    asking = bool(_ASKING.match(text))
    if not asking and re.search(_COMMANDS, text):
        return True
    return any(_is_order(clause.strip()) for clause in _CLAUSES.split(text) if clause)


def _is_order(clause: str) -> bool:
    found = _ORDER.match(clause) or _MEANS.search(clause)
    return bool(found and _THING.search(found["rest"])) or bool(_FORMAT.match(clause))
