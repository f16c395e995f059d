"""Laws of the Merkle tree, with the vectors of the certificate-transparency project."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.governance.audit.tree import (
    EMPTY_ROOT,
    CompactRange,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
)

INPUTS = [
    bytes.fromhex(one)
    for one in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
LEAVES = [leaf_hash(one) for one in INPUTS]


def leaves(count: int, seed: str = "") -> list[bytes]:
    return [sha256(f"{seed}{number}".encode()).digest() for number in range(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    grown = CompactRange()
    for leaf in LEAVES[:size]:
        grown.add(leaf)
    assert Tree(LEAVES).root(size).hex() == grown.root().hex() == ROOTS[size - 1]


def test_the_paths_are_those_of_certificate_transparency() -> None:
    for (index, size), path in PATHS.items():
        assert [node.hex() for node in Tree(LEAVES).inclusion(index, size)] == path


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert CompactRange().root() == Tree([]).root(0) == EMPTY_ROOT == sha256(b"").digest()


def test_a_range_of_the_wrong_form_is_none() -> None:
    for size, nodes in ((1, []), (2, LEAVES[:2]), (-1, []), (1, [b"short"])):
        with pytest.raises(ValueError, match="not a compact range"):
            CompactRange(size, nodes)


SIZES = st.integers(1, 130)


@given(SIZES, st.data())
def test_every_proof_of_inclusion_holds_and_no_changed_one_does(size: int, data: st.DataObject) -> None:
    tree, index = Tree(leaves(size)), data.draw(st.integers(0, size - 1))
    leaf, root, proof = leaves(size)[index], tree.root(size), tree.inclusion(index, size)
    assert check_inclusion(leaf, index, size, proof, root)
    assert not check_inclusion(leaf, index, size, _changed(proof, data) if proof else [root], root)
    assert not check_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not check_inclusion(leaf, index, size, proof, sha256(root).digest())
    wrong = data.draw(st.integers(-1, size + 2).filter(lambda one: one != index))
    assert not check_inclusion(leaf, wrong, size, proof, root)


@given(SIZES, SIZES, st.data())
def test_every_proof_of_growth_holds_and_no_changed_one_does(one: int, two: int, data: st.DataObject) -> None:
    old, new = sorted((one, two))
    tree = Tree(leaves(new))
    before, after, proof = tree.root(old), tree.root(new), tree.consistency(old, new)
    assert check_consistency(old, new, proof, before, after)
    assert not check_consistency(old, new, _changed(proof, data) if proof else [after], before, after)
    assert not check_consistency(old, new, proof, sha256(before).digest(), after)
    assert not check_consistency(old, new, proof, before, sha256(after).digest())
    if old != new:
        assert not check_consistency(new, old, proof, before, after)
        assert not check_consistency(0, new, proof, before, after)


@given(SIZES, SIZES, st.data())
def test_a_log_without_its_beginning_still_proves_what_is_left(one: int, two: int, data: st.DataObject) -> None:
    first, size = sorted((one, two))
    everything, start = leaves(size), CompactRange()
    for leaf in everything[:first]:
        start.add(leaf)
    whole, rest = Tree(everything), Tree(everything[first:], start)
    assert rest.root(size) == whole.root(size)
    assert rest.consistency(first, size) == whole.consistency(first, size)
    if first < size:
        index = data.draw(st.integers(first, size - 1))
        assert rest.inclusion(index, size) == whole.inclusion(index, size)
        with pytest.raises(ValueError, match="no such leaf"):
            rest.inclusion(first - 1, size)


def test_the_root_of_the_tree_of_a_rewritten_log_is_not_proved_to_have_grown() -> None:
    true, forged = Tree(leaves(20)), Tree([*leaves(10), *leaves(10, "forged")])
    proof = forged.consistency(12, 20)
    assert not check_consistency(12, 20, proof, true.root(12), forged.root(20))


def _changed(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """A proof with a bit turned, a hash left out, added, doubled or moved."""
    at = data.draw(st.integers(0, len(proof) - 1))
    turned = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    ways = [
        [*proof[:at], turned, *proof[at + 1 :]],
        [*proof[:at], *proof[at + 1 :]],
        [*proof[:at], proof[at], *proof[at:]],
        [*proof, proof[at]],
        [*proof[:at], proof[at][:31], *proof[at + 1 :]],
    ]
    if len(proof) > 1 and proof[::-1] != proof:
        ways.append(proof[::-1])
    return data.draw(st.sampled_from(ways))
