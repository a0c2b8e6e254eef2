"""Judges the verification of incoming webhooks: the vendors' own libraries make the signature headers.

Input, one JSON object per line: {"vendor": "stripe" | "slack", "secret": "…", "timestamp": 1700000000,
"body_base64": "…"}. Output, one line for each: {"headers": {"Stripe-Signature": "…"}} or {"error": "…"}.
Before a header is printed, the vendor's own verifier must have accepted it. Both libraries take the body for UTF-8;
Stripe's also wants a JSON object, because it makes an event of it.
"""

import base64
import json
import sys

import stripe
from slack_sdk.signature import Clock, SignatureVerifier


class FixedClock(Clock):
    """Slack's verifier compares with its clock; the request says which time it is."""

    def __init__(self, now: int):
        self._now = now

    def now(self) -> float:
        return float(self._now)


def stripe_headers(secret: str, timestamp: int, body: str) -> dict:
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp)
    # No tolerance: the age of a timestamp is what Kapsel is asked about, not Stripe's library.
    stripe.Webhook.construct_event(body, header, secret, tolerance=None)
    return {"Stripe-Signature": header}


def slack_headers(secret: str, timestamp: int, body: str) -> dict:
    verifier = SignatureVerifier(secret, clock=FixedClock(timestamp))
    headers = {
        "X-Slack-Request-Timestamp": str(timestamp),
        "X-Slack-Signature": verifier.generate_signature(timestamp=str(timestamp), body=body),
    }
    if not verifier.is_valid_request(body, headers):
        raise ValueError("slack_sdk refuses its own signature")
    return headers


VENDORS = {"stripe": stripe_headers, "slack": slack_headers}


def answer(line: str) -> dict:
    try:
        request = json.loads(line)
        body = base64.b64decode(request["body_base64"], validate=True).decode("utf-8")
        headers = VENDORS[request["vendor"]](request["secret"], int(request["timestamp"]), body)
    except Exception as error:  # the caller's test decides whether a refusal is what it wanted
        return {"error": f"{type(error).__name__}: {error}"}
    return {"headers": headers}


for line in sys.stdin:
    if line.strip():
        print(json.dumps(answer(line)), flush=True)
