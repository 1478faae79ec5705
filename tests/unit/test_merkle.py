"""What `merkle.py` promises: the root of RFC 9162, whatever the number of leaves, with few hashes in hand."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.merkle import Tree

# Leaves and roots that programs of Certificate Transparency test themselves with.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def root_of(leaves: list[bytes]) -> str:
    """What `Tree` makes of them."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    assert tree.leaves == len(leaves)
    return tree.root()


def as_in_the_rfc(leaves: list[bytes]) -> bytes:
    """The definition, word by word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + as_in_the_rfc(leaves[:half]) + as_in_the_rfc(leaves[half:])).digest()


@pytest.mark.parametrize("count", range(9))
def test_the_roots_that_others_know(count: int) -> None:
    """The first leaves of the well-known list give the well-known roots."""
    assert root_of([bytes.fromhex(leaf) for leaf in LEAVES[:count]]) == ROOTS[count]


@given(st.lists(st.binary(max_size=3), max_size=70))
def test_it_is_the_tree_of_the_rfc(leaves: list[bytes]) -> None:
    """For any leaves the root is that of the recursive definition."""
    assert root_of(leaves) == as_in_the_rfc(leaves).hex()


def test_a_root_may_be_asked_for_in_between() -> None:
    """Asking for the root changes nothing, and more leaves may follow."""
    tree = Tree()
    for count in range(1, 9):
        tree.add(bytes.fromhex(LEAVES[count - 1]))
        assert tree.root() == tree.root() == ROOTS[count]
