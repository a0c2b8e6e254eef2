"""Judges the signatures that Kapsel makes: the official standardwebhooks library of PyPI verifies each request.

Input, one JSON object per line: {"secret": "whsec_…", "headers": {"webhook-id": …}, "body_base64": "…"}.
Output, one line for each: {"ok": true} or {"ok": false, "error": "…"}. Timestamps may be 5 minutes off the real clock.
The library takes the body for UTF-8, so it cannot judge a binary one, and it knows `v1`, not `v1a`.
"""

import base64
import json
import sys

from standardwebhooks import Webhook


def verdict(line: str) -> dict:
    try:
        request = json.loads(line)
        body = base64.b64decode(request["body_base64"], validate=True)
        # json_parse is off because a webhook need not be JSON.
        Webhook(request["secret"]).verify(body, request["headers"], json_parse=False)
    except Exception as error:  # whatever the library raises is its verdict
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": True}


for line in sys.stdin:
    if line.strip():
        print(json.dumps(verdict(line)), flush=True)
