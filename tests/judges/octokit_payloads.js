// Judges ingest and delivery of real payloads: prints GitHub's example webhooks from @octokit/webhooks-examples.
//
// Output: one JSON object per line, {"event": "push", "body": "<the exact text to post>"}, always in the same order.
// The body is the compact JSON that GitHub sends. A summary with the number of examples goes to stderr.
"use strict";

const path = require("node:path");
const { createRequire } = require("node:module");

const judges = createRequire(path.resolve(__dirname, "../../target/judges/package.json"));
const events = judges("@octokit/webhooks-examples");

// Collected first: a pipe that is closed early must not look like a shorter list.
const lines = [];
for (const { name, examples } of events) {
  for (const example of examples) {
    lines.push(JSON.stringify({ event: name, body: JSON.stringify(example) }));
  }
}
if (lines.length === 0) {
  throw new Error("the package holds no example; its layout must have changed");
}
process.stdout.write(lines.join("\n") + "\n");
process.stderr.write(`${lines.length} examples of ${events.length} events\n`);
