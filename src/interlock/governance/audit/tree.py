"""The Merkle tree of RFC 6962: roots, and proofs that an entry is in a log and that a log only grew.

Hashes: RFC 6962, section 2.1. Making and checking proofs: RFC 9162, sections 2.1.3 and 2.1.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
_SIZE = 32


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The fewest hashes that stand for the beginning of a log: the roots of its full subtrees, the largest first.

    Leaves are added at a cost of about one hash each, whatever the size.

    Args:
        size: How many leaves it stands for.
        nodes: Their subtrees' roots.

    Raises:
        ValueError: there are not as many nodes as a range of this size has.
    """

    __slots__ = ("nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if size < 0 or len(self.nodes) != size.bit_count() or any(len(node) != _SIZE for node in self.nodes):
            raise ValueError("not a compact range")

    @classmethod
    def from_hex(cls, size: int, nodes: Iterable[str]) -> CompactRange:
        """Read a range as it is written down."""
        return cls(size, [bytes.fromhex(node) for node in nodes])

    def to_hex(self) -> list[str]:
        """The nodes as they are written down."""
        return [node.hex() for node in self.nodes]

    def add(self, leaf: bytes) -> None:
        """Take one more leaf in."""
        carried, size = leaf, self.size
        while size & 1:
            carried = node_hash(self.nodes.pop(), carried)
            size >>= 1
        self.nodes.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree over all leaves so far."""
        if not self.nodes:
            return EMPTY_ROOT
        found = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            found = node_hash(node, found)
        return found


class Tree:
    """Leaves in memory, for making proofs.

    Args:
        leaves: The hashes of the leaves, in order.
        start: What stands for the leaves before them, where the beginning of the log is not here any more.
    """

    def __init__(self, leaves: Sequence[bytes], start: CompactRange | None = None) -> None:
        self._leaves = leaves
        self._first = start.size if start else 0
        self._known = _subtrees(start) if start else {}

    def root(self, size: int) -> bytes:
        """The root of the tree of the first `size` leaves."""
        return self._span(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """A proof that leaf `index` (from 0) is in the tree of the first `size` leaves.

        Raises:
            ValueError: there is no such leaf here.
        """
        if not self._first <= index < size <= self._first + len(self._leaves):
            raise ValueError("no such leaf")
        path, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._span(middle, high))
                high = middle
            else:
                path.append(self._span(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """A proof that the tree of the first `old` leaves is the beginning of that of the first `new` ones.

        Raises:
            ValueError: the sizes do not fit, or the leaves are not here.
        """
        if not 0 < old <= new <= self._first + len(self._leaves) or old < self._first:
            raise ValueError("no such trees")
        return self._consistency(old, 0, new, whole=True)

    def _consistency(self, old: int, low: int, high: int, *, whole: bool) -> list[bytes]:
        if old == high - low:
            return [] if whole else [self._span(low, high)]
        middle = _split(high - low)
        if old <= middle:
            return [*self._consistency(old, low, low + middle, whole=whole), self._span(low + middle, high)]
        inner = self._consistency(old - middle, low + middle, high, whole=False)
        return [*inner, self._span(low, low + middle)]

    def _span(self, low: int, high: int) -> bytes:
        known = self._known.get((low, high))
        if known is not None:
            return known
        if high - low == 1:
            if low < self._first:
                raise ValueError("these leaves are not here any more")
            return self._leaves[low - self._first]
        middle = low + _split(high - low)
        return node_hash(self._span(low, middle), self._span(middle, high))


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def _subtrees(start: CompactRange) -> Mapping[tuple[int, int], bytes]:
    found, low = {}, 0
    for node in start.nodes:
        width = 1 << (start.size - low).bit_length() - 1
        found[low, low + width] = node
        low += width
    return found


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that a leaf stands at `index` (from 0) in the tree with this root; RFC 9162, 2.1.3.2."""
    if not 0 <= index < size or any(len(node) != _SIZE for node in (leaf, *proof)):
        return False
    place, last, found = index, size - 1, leaf
    for node in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(node, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, node)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def check_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether a proof shows that the tree of `old` leaves is the beginning of that of `new`; RFC 9162, 2.1.4.2."""
    if not 0 < old <= new or any(len(node) != _SIZE for node in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    if not proof:
        return False
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, node)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
