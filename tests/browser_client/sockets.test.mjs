// WebSockets: what they bring to the server, and what their end tells. The other end is real; this one is the least that a
// browser does, since Node has no WebSocket of its own before version 22.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { afterEach, beforeEach, test } from "node:test";

import { BASE, Browser, ELSEWHERE, until, world } from "./tab.mjs";

let browser, sockets;
beforeEach(() => {
  browser = new Browser();
  sockets = [];
});
afterEach(() => {
  browser.close();
  sockets.forEach((socket) => socket.raw?.destroy());
});

globalThis.WebSocket = class extends EventTarget {
  constructor(url, protocols = []) {
    super();
    this.url = url;
    this.offered = [protocols].flat();
    sockets.push(this);
    if (url.startsWith("wss:")) return;
    const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", origin: location.origin };
    headers["sec-websocket-key"] = randomBytes(16).toString("base64");
    if (this.offered.length) headers["sec-websocket-protocol"] = this.offered.join(", ");
    if (browser.cookies && new URL(url).host === location.host) headers.cookie = browser.cookies;
    const sent = http.request(url.replace(/^ws/, "http"), { headers });
    this.opened = new Promise((resolve) => {
      sent.on("upgrade", (answer, raw, rest) => {
        this.protocol = answer.headers["sec-websocket-protocol"];
        this.raw = raw;
        resolve(101);
        this.read(rest);
        raw.on("data", (part) => this.read(part));
      });
      sent.on("response", (answer) => resolve(answer.statusCode));
      sent.on("error", () => resolve(0));
    });
    this.message = new Promise((resolve) => (this.tell = resolve));
    sent.end();
  }

  // Frames of less than 126 bytes (RFC 6455 section 5.2), which is all that is sent here.
  read(part) {
    for (this.rest = Buffer.concat([this.rest ?? Buffer.alloc(0), part]); this.rest.length >= 2 + (this.rest[1] ?? 0); ) {
      const [kind, length] = this.rest;
      const content = this.rest.subarray(2, 2 + length);
      this.rest = this.rest.subarray(2 + length);
      if (kind === 0x81) this.tell(JSON.parse(content));
      if (kind !== 0x88) continue;
      const event = { code: content.readUInt16BE(0), reason: content.subarray(2).toString() };
      this.dispatchEvent(Object.assign(new Event("close"), event));
    }
  }
};

test("a socket brings the token in the pair, which the app does not see", async () => {
  const tab = await browser.signedIn("ada");
  browser.jar.clear();
  const socket = tab.openWebSocket("/chat", ["chat.v1"]);
  assert.equal(socket.url, `${BASE.replace("http", "ws")}/chat`);
  assert.deepEqual(await socket.message, { user: "ada", offered: ["chat.v1"] });
  const alone = tab.openWebSocket(new URL("/chat", BASE), "chat.v2");
  assert.deepEqual(await alone.message, { user: "ada", offered: ["chat.v2"] });
  const [, token] = tab.authorization().split(" ");
  assert.deepEqual(alone.offered, ["tokenguard", token, "chat.v2"]);
});

test("without a token it opens on the cookie", async () => {
  await browser.signedIn("ada", { channel: false });
  const socket = browser.tab().openWebSocket("/chat");
  assert.deepEqual([socket.offered, await socket.message], [[], { user: "ada", offered: [] }]);
});

test("another origin's socket gets no token", async () => {
  const tab = await browser.signedIn("ada");
  for (const url of [ELSEWHERE.replace("http", "ws"), ELSEWHERE, BASE.replace("http", "wss")])
    assert.deepEqual(tab.openWebSocket(url, ["x"]).offered, ["x"]);
});

test("the end of the session closes the socket, and every tab is told at once", async () => {
  const tab = await browser.signedIn("eve");
  const other = browser.tab({ tabPatience: 30_000 });
  await other.fetch("/me");
  const socket = tab.openWebSocket("/chat");
  await socket.message;
  // The socket was opened with a token that has been replaced since.
  await tab.fetch("/confirm", { method: "POST" });
  await world("end", { user: "eve" });
  await until(() => tab.told.length && other.told.length);
  assert.deepEqual([tab.told[0].code, other.told[0].code, tab.state.signedIn], ["revoked", "revoked", false]);
});

test("so it does where the socket was opened on the cookie", async () => {
  await browser.signedIn("eve", { channel: false });
  const tab = browser.tab();
  const socket = tab.openWebSocket("/chat");
  await socket.message;
  await tab.fetch("/me");
  await world("end", { user: "eve" });
  await until(() => tab.told.length);
  assert.equal(tab.told[0].code, "revoked");
});

for (const [what, code, reason] of [
  ["for another reason", 4408, "session_expired"],
  ["by the app", 4401, "step_up_required"],
  ["by the app with a word of its own", 4401, "token_required"],
  ["by the network", 1006, ""],
]) {
  test(`a socket that is closed ${what} says nothing about the session`, async () => {
    const tab = await browser.signedIn("ada");
    const socket = tab.openWebSocket("/chat");
    await socket.message;
    socket.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
    await tab.fetch("/me");
    assert.deepEqual([tab.state.signedIn, tab.told], [true, []]);
  });
}
