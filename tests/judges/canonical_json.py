"""Judges the bytes of leaves: rfc8785 of PyPI writes the same values as canonical JSON.

Input, one JSON object per line: {"value": …}.
Output, one line for each: {"canonical": "…"} with the bytes in base64, or {"error": "…"}. Numbers that are not exact in
JavaScript, from 2^53 on, and strings that are not Unicode have no canonical form.
"""

import base64
import json
import sys

import rfc8785


def answer(line: str) -> dict:
    try:
        canonical = rfc8785.dumps(json.loads(line)["value"])
    except Exception as error:  # whatever the library raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    return {"canonical": base64.b64encode(canonical).decode()}


for line in sys.stdin:
    if line.strip():
        print(json.dumps(answer(line)), flush=True)
