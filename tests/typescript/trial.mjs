// Runs the server and talks to it with each client over each transport; exits with 1 when anything is not as it should be.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import * as v2 from "@modelcontextprotocol/client";
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport as Sse1 } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const command = process.argv[2] ?? "swarmtally";
const place = mkdtempSync(join(tmpdir(), "swarmtally-trial-"));
const token = "trial-" + Math.random().toString(36).slice(2).padEnd(16, "x");
const database = ["--db", join(place, "swarm.db"), "--project", "trial"];
const stdio = { command, args: ["serve", ...database], stderr: "ignore" };
const me = { name: "trial", version: "1" };
const admitted = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };

async function serve(transport) {
  const args = ["serve", "--transport", transport, "--port", "0", ...database];
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, SWARMTALLY_TOKEN: token },
  });
  process.once("exit", () => child.kill("SIGKILL"));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let output = "";
  child.stdout.on("data", (data) => (output += data));
  for await (const line of createInterface({ input: child.stderr })) {
    const url = /url=(\S+)/.exec(line)?.[1];
    if (url) {
      child.stderr.resume();
      return {
        url: new URL(url),
        async end() {
          child.kill("SIGTERM");
          assert.equal(await exited, 0);
          assert.equal(output, "");
        },
      };
    }
  }
  throw new Error(`${transport} did not start`);
}

async function talk(client, transport) {
  await client.connect(transport);
  const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? "not shown by this client";
  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === "swarm_init"));
  const call = (name, args) => client.callTool({ name, arguments: args });
  const made = await call("swarm_init", { topology: "mesh", maxAgents: 12 });
  assert.equal(made.structuredContent.max_agents, 12);
  const value = { a: [1, null, "é"] };
  assert.ok(!(await call("memory_usage", { action: "store", key: "k", value })).isError);
  const found = await call("memory_usage", { action: "retrieve", key: "k" });
  assert.deepEqual(found.structuredContent.value, value);
  const large = "é".repeat(524_000);
  assert.ok(!(await call("memory_usage", { action: "store", key: "large", value: large })).isError);
  assert.equal((await call("memory_usage", { action: "retrieve", key: "large" })).structuredContent.value, large);
  const wrong = await call("swarm_init", { max_agentz: 3 });
  assert.ok(wrong.isError);
  assert.match(wrong.content[0].text, /did you mean 'max_agents'/);
  const started = performance.now();
  for (let number = 0; number < 100; number++) await call("memory_usage", { action: "retrieve", key: "k" });
  const call_ms = ((performance.now() - started) / 100).toFixed(2);
  const done = await pipeline(call);
  await client.close();
  return `protocol ${version}, ${tools.length} tools, ${call_ms} ms a call; pipeline ${done}; wrong argument: ${wrong.content[0].text}`;
}

// The client does the work: every packet of a pipeline, until the run has ended.
async function pipeline(call) {
  const run = (await call("sparc_pipeline", { task: "Notes app with sync, search, and sharing" })).structuredContent;
  assert.equal(run.status, "waiting_for_host");
  let told;
  for (const packets = [...run.packets]; packets.length; ) {
    const { task_id, lease, key } = packets.shift();
    const files = key.startsWith("code") ? { "src/app.js": "// made\n" } : undefined;
    const answer = await call("work_report", { task_id, lease, output: `# ${key}`, files, claim: 1 });
    assert.ok(!answer.isError, answer.content[0].text);
    told = answer.structuredContent;
    packets.push(...told.packets);
  }
  assert.equal(told.run_status, "succeeded");
  return `${told.run_status}, ${told.tasks.succeeded} tasks`;
}

const http = await serve("http");
const sse = await serve("sse");
const modern = { versionNegotiation: { mode: "auto" } };
const pinned = { versionNegotiation: { mode: { pin: "2026-07-28" } } };
const trials = [
  ["sdk 1.x, stdio", () => new Client1(me), () => new Stdio1(stdio)],
  ["sdk 1.x, http", () => new Client1(me), () => new Http1(http.url, admitted)],
  ["sdk 1.x, sse", () => new Client1(me), () => new Sse1(sse.url, admitted)],
  ["client 2.x legacy, http", () => new v2.Client(me), () => new v2.StreamableHTTPClientTransport(http.url, admitted)],
  ["client 2.x auto, stdio", () => new v2.Client(me, modern), () => new Stdio2(stdio)],
  ["client 2.x auto, http", () => new v2.Client(me, modern), () => new v2.StreamableHTTPClientTransport(http.url, admitted)],
  ["client 2.x pinned, http", () => new v2.Client(me, pinned), () => new v2.StreamableHTTPClientTransport(http.url, admitted)],
  ["client 2.x auto, sse", () => new v2.Client(me, modern), () => new v2.SSEClientTransport(sse.url, admitted)],
];
for (const [name, client, transport] of trials) {
  try {
    console.log(`${name}: ${await talk(client(), transport())}`);
  } catch (error) {
    console.log(`${name}: FAILED ${error.stack}`);
    process.exitCode = 1;
  }
}
await assert.rejects(new Client1(me).connect(new Http1(http.url)), /token is missing or wrong/);
await Promise.all([http.end(), sse.end()]);
console.log("without the token: refused; both servers ended on SIGTERM with status 0 and an empty stdout");
