// Judges the signatures that Kapsel makes: the official standardwebhooks library of npm verifies each request.
//
// Input, one JSON object per line: {"secret": "whsec_…", "headers": {"webhook-id": …}, "body_base64": "…"}.
// Output, one line for each: {"ok": true} or {"ok": false, "error": "…"}. Timestamps may be 5 minutes off the real
// clock. The library takes the body for UTF-8, so it cannot judge a binary one, and it knows `v1`, not `v1a`.
"use strict";

const path = require("node:path");
const readline = require("node:readline");
const { createRequire } = require("node:module");

const judges = createRequire(path.resolve(__dirname, "../../target/judges/package.json"));
const { Webhook } = judges("standardwebhooks");

function verdict(line) {
  try {
    const { secret, headers, body_base64: body } = JSON.parse(line);
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers, { jsonParse: false });
    return { ok: true };
  } catch (error) {
    return { ok: false, error: `${error.name}: ${error.message}` };
  }
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  if (line.trim() !== "") {
    process.stdout.write(JSON.stringify(verdict(line)) + "\n");
  }
});
