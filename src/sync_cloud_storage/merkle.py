"""The Merkle tree of RFC 6962 and RFC 9162 (section 2.1), leaf by leaf, with a hash in hand for each level. Floor 0.

root of nothing     SHA-256("")
root of one leaf    SHA-256(0x00 || leaf)
root of n leaves    SHA-256(0x01 || root of the first k || root of the rest), k the greatest power of two below n
"""

from __future__ import annotations

from hashlib import sha256


class Tree:
    """Takes leaves in their order; knows the root of all that it has taken."""

    def __init__(self) -> None:
        self.leaves = 0
        self._whole: list[bytes] = []  # roots of full trees, the largest first: one for each 1 in the number of leaves

    def add(self, leaf: bytes) -> None:
        """Take the next leaf."""
        node = sha256(b"\x00" + leaf).digest()
        higher = self.leaves
        while higher & 1:  # as in adding 1: each carry makes two trees of one size into one
            node = _node(self._whole.pop(), node)
            higher >>= 1
        self._whole.append(node)
        self.leaves += 1

    def root(self) -> str:
        """The root, in hexadecimal; more leaves may follow."""
        if not self._whole:
            return sha256(b"").hexdigest()
        root = self._whole[-1]
        for left in reversed(self._whole[:-1]):
            root = _node(left, root)
        return root.hex()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
