"""What schemathesis cannot know of the API that it tests.

It makes requests from the document alone. Here, before each one is sent:

- Destinations are led to the address of KAPSEL_DESTINATION, on this machine: what schemathesis makes up are hosts of others.
- Every second id in a path is one of an object that is there (KAPSEL_OBJECTS, a JSON object with a list of ids for each
  prefix), so that not every answer is 404. Deletions keep their made-up ids.
- Requests that are meant to be good are kept from what the document says in words only: `base_seconds` against
  `cap_seconds`, `page` against `limit`, a cursor that no list has named, and so on.

What is meant to be bad stays as it is, but for its destination.
"""

import itertools
import json
import os
import re

import schemathesis

DESTINATION = os.environ["KAPSEL_DESTINATION"]
OBJECTS = json.loads(os.environ["KAPSEL_OBJECTS"])
ID = re.compile(r"([a-z]+)_[0-7][0-9a-hjkmnp-tv-z]{25}")
HASH = re.compile(r"[0-9a-f]{64}")
# Names of headers that an endpoint cannot set (`custom_header_refusal` in crates/kapsel-core/src/headers.rs).
OWN_HEADERS = re.compile(
    r"connection|content-length|expect|host|http2-settings|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade"
    r"|traceparent|tracestate|user-agent|x-kapsel-.*|webhook-.*|svix-.*",
    re.IGNORECASE,
)
# Headers with a form. The boundary values of schemathesis keep to the length of a text and not to its pattern.
FORMS = {
    "Kapsel-Tenant": re.compile(r"ten_[0-7][0-9a-hjkmnp-tv-z]{25}"),
    "If-Match": re.compile(r'\*|"[0-9]{1,19}"'),
    "Idempotency-Key": re.compile(r"[!-~](?:[ -~]*[!-~])?"),
    "X-Idempotency-Key": re.compile(r"[!-~](?:[ -~]*[!-~])?"),
}
turns = itertools.count()


@schemathesis.hook
def before_call(context, case, **kwargs):
    is_good = case.meta is not None and case.meta.generation.mode.is_positive
    if isinstance(case.body, dict):
        lead_home(case.body)
        if is_good:
            mend_body(case)
    if case.method == "DELETE":
        # What everything else is about has to stay.
        kept = {id for ids in OBJECTS.values() for id in ids}
        for name, value in (case.path_parameters or {}).items():
            if value in kept:
                case.path_parameters[name] = f"{value.split('_')[0]}_{'0' * 26}"
    if is_good:
        if case.path_parameters and case.method != "DELETE" and next(turns) % 2:
            case.path_parameters = {name: real(value) for name, value in case.path_parameters.items()}
            if "attempt_id" in case.path_parameters:
                # Attempts stand in the list as their events do.
                place = next(turns) % len(OBJECTS["da"])
                case.path_parameters = {"id": OBJECTS["evt"][place], "attempt_id": OBJECTS["da"][place]}
        if case.query:
            mend_query(case.query)
            if case.path.endswith("/stats"):
                # Without it, a day before `until`: what schemathesis makes up would seldom lie within 90 days.
                case.query.pop("since", None)
        mend_headers(case.headers or {})
        if case.path.startswith("/v1/") and "Idempotency-Key" in (case.headers or {}):
            # Another request under the same key is refused, so each gets its own.
            case.headers["Idempotency-Key"] = case.headers["Idempotency-Key"][:200] + f"-{next(turns)}"


def lead_home(body):
    url = body.get("url")
    if isinstance(url, str):
        # As browsers read URLs: tabs and line breaks are nothing, slashes may lean either way and be missing.
        url = re.sub(r"[\x00-\x20]", "", url)
        match = re.match(r"(?i)https?:[/\\]*([^/\\?#]*)", url)
        if match:
            user, at, _ = match.group(1).rpartition("@")
            body["url"] = DESTINATION.replace("://", "://" + user + at, 1) + url[match.end():]


def real(value):
    """An id of the same kind that is there, if there is one."""
    if not isinstance(value, str):
        return value
    match = ID.fullmatch(value)
    known = OBJECTS.get(match.group(1) if match else "hash" if HASH.fullmatch(value) else "", [])
    return known[next(turns) % len(known)] if known else value


def mend_headers(headers):
    for name, form in FORMS.items():
        if name in headers and not form.fullmatch(headers[name]):
            headers.pop(name)
    if "X-Idempotency-Key" in headers:
        # The two have to agree.
        headers.setdefault("Idempotency-Key", headers.pop("X-Idempotency-Key"))
        headers.pop("X-Idempotency-Key", None)


def mend_query(query):
    # A cursor is a text that an earlier answer named.
    query.pop("cursor", None)
    try:
        if int(query.get("page", 1)) * int(query.get("limit", 50)) > 10_000:
            query["page"] = 1
    except (TypeError, ValueError):
        pass


def mend_body(case):
    body = case.body
    if case.path == "/v1/erasures":
        # One and the same event: the others have to stay as they are.
        body.clear()
        body["event_id"] = OBJECTS["evt"][-1]
        (case.headers or {}).pop("Kapsel-Tenant", None)
    for name in ("endpoint_id", "tenant_id"):
        if isinstance(body.get(name), str):
            # What is there belongs to the tenant of the key, and to no other.
            body[name] = real(body[name])
            (case.headers or {}).pop("Kapsel-Tenant", None)
    if isinstance(body.get("since"), str) and isinstance(body.get("until"), str):
        body.pop("until")
    if isinstance(body.get("expires_at"), str):
        body["expires_at"] = "2036-01-02T03:04:05Z"
    if body.get("signature_header") is not None:
        body.setdefault("signing_secret", "a secret of both sides")
        body.pop("verification", None)
        if body["signing_secret"] is None:
            body["signing_secret"] = "a secret of both sides"
    elif body.get("signing_secret") is not None:
        body["signing_secret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    retry = body.get("retry")
    if retry is not None:
        body.pop("max_retries", None)
    if isinstance(retry, dict) and retry.get("base_seconds") is not None:
        # Whole milliseconds, and the default cap is an hour.
        retry["cap_seconds"] = max(retry["base_seconds"], retry.get("cap_seconds") or 3_600)
    elif isinstance(retry, dict) and retry.get("cap_seconds") is not None:
        retry["cap_seconds"] = max(retry["cap_seconds"], 1)
    ingest_limit = body.get("ingest_rate_limit")
    if isinstance(ingest_limit, dict) and ingest_limit.get("per_second", 1_000) < 1_000:
        # What the next requests send is to come in.
        ingest_limit["per_second"] = 1_000
    circuit = body.get("circuit")
    if isinstance(circuit, dict) and circuit.get("open_seconds_max") is not None:
        circuit["open_seconds_max"] = max(circuit["open_seconds_max"], circuit.get("open_seconds") or 30)
    headers = body.get("headers")
    if isinstance(headers, dict):
        lower = {}
        for name, value in headers.items():
            if not OWN_HEADERS.fullmatch(name) and value is not None:
                lower[name.lower()] = value
        body["headers"] = lower
    mend_verification(body.get("verification"))


def mend_verification(verification):
    if not isinstance(verification, dict) or verification.get("scheme") == "none":
        return
    secrets = verification.get("secrets")
    if not secrets:
        verification["secrets"] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    elif verification.get("scheme") == "standard-webhooks":
        # Not every 32 bytes are a point of the curve.
        good = [secret for secret in secrets if not secret.startswith("whpk_")]
        verification["secrets"] = good or ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
