"""Checking a log offline: whether anything in it was edited, moved, removed or cut off, and what proves that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from interlock.errors import NotFound
from interlock.governance.audit.checkpoint import Checkpoint, PublicKey
from interlock.governance.audit.findings import Finding, Report
from interlock.governance.audit.log import Anchor, Entry, Item, Junk
from interlock.governance.audit.tree import CompactRange, Tree, check_consistency, check_inclusion
from interlock.stores.audit_chain import GENESIS, LEAF

_decode = msgspec.json.Decoder(dict[str, Any]).decode
#: Looks at the fact that an entry tells of.
FactCheck = Callable[[int, dict[str, Any]], Iterable[Finding]]


@dataclass(slots=True)
class Verification:
    """Takes a log item by item, in order, and remembers what is wrong with it.

    Args:
        keys: Whose checkpoints count.
        checkpoints: Checkpoints that were kept apart from the log.
        facts: Looks at the facts, where they are at hand.
    """

    keys: Sequence[PublicKey]
    checkpoints: Iterable[Checkpoint] = ()
    facts: FactCheck | None = None
    report: Report = field(default_factory=Report)
    _tree: CompactRange = field(default_factory=CompactRange)
    _start: CompactRange = field(default_factory=CompactRange)
    _prev: str = GENESIS
    _n: int = 0
    _leaves: list[bytes] = field(default_factory=list)
    _waiting: dict[int, list[Checkpoint]] = field(default_factory=dict)
    _doubted: int = -1
    _whole: bool = True
    _begun: bool = False

    def __post_init__(self) -> None:
        for checkpoint in self.checkpoints:
            self._checkpoint(checkpoint)

    def take(self, item: Item) -> None:
        """Look at the next item."""
        if isinstance(item, Entry):
            self._entry(item)
        elif isinstance(item, Anchor):
            self._anchor(item)
        elif isinstance(item, Junk):
            self._find(None, "junk", f"{item.where} is nothing that belongs to an audit log.")
        else:
            self._checkpoint(item)

    def finish(self) -> Report:
        """Look at what is left when the log has ended."""
        report = self.report
        self._begin()
        beyond = [size for size in self._waiting if size > self._n]
        if beyond:
            signed = max(beyond)
            says = f"The log was signed with {signed} entries and ends at entry {self._n}: its end was cut off."
            self._find(self._n + 1, "cut", says)
        report.last, report.root = self._n, self._tree.root().hex() if self._whole else ""
        return report

    # Proofs. Each is made from the log and checked against signed roots only.

    def prove_entry(self, n: int) -> dict[str, Any]:
        """A proof that an entry is in the log, checked against the oldest matching checkpoint that covers it.

        Raises:
            NotFound: there is no such entry, or no matching checkpoint covers it.
        """
        covering = [one for one in self.report.matching if one.size >= n]
        if not self._start.size < n <= self._n or not covering or not self._whole:
            says = f"There is no entry {n} that a checkpoint covers."
            raise NotFound(says, "`interlock audit verify` says which entries there are.", code="audit.not_found")
        signed = min(covering, key=lambda one: one.size)
        leaf = self._leaves[n - 1 - self._start.size]
        proof = Tree(self._leaves, self._start).inclusion(n - 1, signed.size)
        if not check_inclusion(leaf, n - 1, signed.size, proof, signed.root):
            self._find(n, "proof", f"The proof that entry {n} is in the signed log does not hold.")
        hashes = [node.hex() for node in proof]
        return {"entry": n, "leaf": leaf.hex(), "index": n - 1, "proof": hashes, "checkpoint": signed.note}

    def prove_growth(self, old: Checkpoint) -> dict[str, Any]:
        """A proof that the log that was signed then is the beginning of the one that was signed last.

        Raises:
            NotFound: no matching checkpoint is as new as that.
        """
        if not any(key.accepts(old) for key in self.keys):
            self._find(old.size, "signature", "The old checkpoint is not signed with this log's key.")
        later = [one for one in self.report.matching if one.size >= old.size]
        if not later or old.size < max(1, self._start.size) or not self._whole:
            says = f"There is no matching checkpoint from entry {old.size} on, so there is nothing to compare."
            raise NotFound(says, "Give an older checkpoint, or a newer log.", code="audit.not_found")
        new = max(later, key=lambda one: one.size)
        proof = Tree(self._leaves, self._start).consistency(old.size, new.size)
        if not check_consistency(old.size, new.size, proof, old.root, new.root):
            says = (
                f"The log that was signed with {old.size} entries is not the beginning of this one: it was rewritten."
            )
            self._find(old.size, "rewritten", says)
        return {"from": old.size, "to": new.size, "proof": [node.hex() for node in proof], "checkpoint": new.note}

    # Item by item.

    def _entry(self, entry: Entry) -> None:
        raw = sha256(LEAF + entry.body).digest()
        told, n = self._read(entry)
        if n <= self._n:
            self._again(n, raw)
            return
        doubtful = not told
        if n > self._n + 1:
            self._gap(n, told)
        if entry.leaf is not None and entry.leaf != raw.hex():
            self._find(n, "edited", f"Entry {n} was edited: it does not have the hash that it was stored with.")
            doubtful = True
        elif told and told.get("prev") != self._prev and self._doubted != n - 1:
            before = f"entry {n - 1}" if n > 1 else "the beginning of the log"
            self._find(n, "chain", f"Entry {n} does not follow {before} as it is: one of the two was edited.")
        if told and self.facts is not None:
            self.report.findings += self.facts(n, told)
        self._doubted = n if doubtful else self._doubted
        self._add(n, raw)

    def _read(self, entry: Entry) -> tuple[dict[str, Any], int]:
        place = entry.n if entry.n is not None else self._n + 1
        try:
            told = _decode(entry.body)
            n = told["n"]
        except (msgspec.DecodeError, KeyError):
            self._find(place, "damaged", f"Entry {place} is damaged: it cannot be read.")
            return {}, place
        if type(n) is not int or n < 1 or (entry.n is not None and n != entry.n):
            shown = n if type(n) is int else "of no number"
            self._find(place, "moved", f"Where entry {place} belongs stands entry {shown}.")
            return {}, place
        return told, n

    def _add(self, n: int, raw: bytes) -> None:
        self._begin()
        self._n, self._prev = n, raw.hex()
        self._leaves.append(raw)
        self.report.entries += 1
        self._tree.add(raw)
        for checkpoint in self._waiting.pop(n, ()):
            self._compare(checkpoint, self._tree.root())

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.report.first = self._n + 1
            for checkpoint in self._waiting.pop(self._n, ()):
                self._compare(checkpoint, self._tree.root())

    def _again(self, n: int, raw: bytes) -> None:
        """An entry that was there before: delivered twice, or something else under the same number."""
        known = n > self._start.size and self._whole
        if known and self._leaves[n - 1 - self._start.size] == raw:
            self.report.twice += 1
        elif n > self._start.size:
            self._find(n, "moved", f"Entry {n} stands behind entry {self._n}, where it does not belong.")

    def _gap(self, n: int, told: dict[str, Any]) -> None:
        if n - 1 == self._n + 1:
            says = f"Entry {n - 1} is missing."
        else:
            says = f"Entries {self._n + 1} to {n - 1} are missing."
        self._find(self._n + 1, "missing", says)
        self._whole = False  # nothing that was signed from here on can be compared
        self._prev = told.get("prev", "")

    def _anchor(self, anchor: Anchor) -> None:
        """The log, or a part of it, begins behind entries that are not here."""
        if anchor.n <= self._n:
            if anchor.n == self._n and (anchor.leaf != self._prev or anchor.tree().root() != self._tree.root()):
                says = f"The part that begins behind entry {anchor.n} does not continue the log as it is."
                self._find(anchor.n + 1, "chain", says)
            return
        if self._begun:
            self._gap(anchor.n + 1, {"prev": anchor.leaf})
            self._n = anchor.n
            return
        self._n, self._prev = anchor.n, anchor.leaf
        self._start, self._tree = anchor.tree(), anchor.tree()

    # What was signed.

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        if not any(key.accepts(checkpoint) for key in self.keys):
            says = f"The checkpoint at {checkpoint.size} entries is not signed with this log's key."
            self._find(checkpoint.size, "signature", says)
        elif checkpoint.size > self._n or not self._begun:
            known = self._waiting.setdefault(checkpoint.size, [])
            if checkpoint not in known:
                known.append(checkpoint)
        elif checkpoint.size == self._n:
            self._compare(checkpoint, self._tree.root())
        elif checkpoint.size > self._start.size and self._whole:
            self._compare(checkpoint, Tree(self._leaves, self._start).root(checkpoint.size))

    def _compare(self, checkpoint: Checkpoint, root: bytes) -> None:
        report = self.report
        if not self._whole:
            report.uncompared += 1
        elif checkpoint.root == root:
            if checkpoint not in report.matching:
                report.matching.append(checkpoint)
        elif report.mismatched:
            report.mismatched += 1
        else:
            report.mismatched = 1
            good = max((one.size for one in report.matching), default=self._start.size)
            says = (
                f"Entries {good + 1} to {checkpoint.size} are not those that were signed: "
                "at least one was rewritten, or the checkpoint was."
            )
            self._find(checkpoint.size, "rewritten", says)

    def _find(self, n: int | None, kind: str, says: str) -> None:
        self.report.findings.append(Finding(n=n, kind=kind, says=says))


def verify(
    items: Iterable[Item],
    keys: Sequence[PublicKey],
    checkpoints: Iterable[Checkpoint] = (),
    *,
    facts: FactCheck | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check a log from its beginning to its end; `report` of what comes back says what was found.

    Args:
        items: The log.
        keys: Its public keys.
        checkpoints: What was kept apart from it.
        facts: Looks at the facts beside it.
        progress: Told of the newest entry every thousand entries.
    """
    found = Verification(keys, checkpoints, facts)
    for number, item in enumerate(items, 1):
        found.take(item)
        if progress is not None and number % 1_000 == 0:
            progress(number)
    found.finish()
    return found
