"""Judges trees and proofs of RFC 9162: pymerkle of PyPI builds the same tree by itself.

Input, one JSON object per line, about one tree that starts empty:
  {"append": "…"}                          a leaf, in base64
  {"inclusion": index, "size": size}       the path of a leaf, counted from 0
  {"consistency": old_size, "size": size}  the path between two sizes
Output, one line for each: {"size": …, "root": "…"} or {"path": ["…"]}, hashes in hexadecimal digits, paths in the order
of the RFC; or {"error": "…"}. The library counts leaves from 1, and its paths have a form of their own, see below.
"""

import base64
import json
import sys

from pymerkle import InmemoryTree

tree = InmemoryTree(algorithm="sha256")


def inclusion(index: int, size: int) -> list:
    """Its path starts with the leaf itself."""
    return tree.prove_inclusion(index + 1, size).path[1:]


def consistency(old_size: int, size: int) -> list:
    """Its path starts with the first new leaf and climbs from there, where the RFC has the whole subtree to the right of
    the last old one. `subset` tells old nodes from new ones. The RFC puts the last old subtree first, and leaves it out
    where that is the old tree."""
    proof = tree.prove_consistency(old_size, size)
    if old_size == size:
        return []
    first_old = proof.subset.index(1)
    right = proof.path[0]
    for node in proof.path[1:first_old]:
        right = tree.hash_pair(right, node)
    is_one_subtree = old_size & (old_size - 1) == 0
    return ([] if is_one_subtree else [proof.path[first_old]]) + [right] + proof.path[first_old + 1 :]


def answer(line: str) -> dict:
    try:
        request = json.loads(line)
        if "append" in request:
            tree.append_entry(base64.b64decode(request["append"], validate=True))
            return {"size": tree.get_size(), "root": tree.get_root().hex()}
        if "inclusion" in request:
            path = inclusion(request["inclusion"], request["size"])
        else:
            path = consistency(request["consistency"], request["size"])
        return {"path": [node.hex() for node in path]}
    except Exception as error:  # whatever the library raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    if line.strip():
        print(json.dumps(answer(line)), flush=True)
