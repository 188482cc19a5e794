// Without a token one call goes first, and the others wait for it, but not for ever.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BASE, Browser, ELSEWHERE, pause, sent, until, world } from "./tab.mjs";

let browser;
beforeEach(async () => {
  browser = new Browser();
  await browser.signedIn("ada", { channel: false });
});
afterEach(() => browser.close());

// What has arrived with `of` in its query, in order, once there is so much of it.
async function arrived(of, count) {
  const found = [];
  await until(async () => (found.push(...(await world("log", { of }))), found.length >= count));
  return found;
}

test("ten calls of a new page: one goes first, nine follow with its token", async () => {
  const tab = browser.tab();
  const calls = [...Array(10).keys()].map((n) => tab.fetch(`/me?a=${n}${n ? "" : "&hold=a"}`));
  const [first, ...none] = await arrived("a=", 1);
  await pause(100);
  assert.deepEqual([first.headers.authorization, none, await world("log", { of: "a=" })], [undefined, [], []]);
  await world("release", { name: "a" });
  assert.ok((await Promise.all(calls)).every(({ status }) => status === 200));
  const others = await arrived("a=", 9);
  assert.ok(others.every((request) => sent(request).jti === tab.state.claims.jti));
});

test("a first answer that takes long holds nobody up for longer than the limit", async () => {
  const tab = browser.tab({ patience: 50 });
  const slow = tab.fetch("/me?b=0&hold=b");
  const others = await Promise.all([tab.fetch("/me?b=1"), tab.fetch("/me?b=2")]);
  assert.deepEqual(others.map(({ status }) => status), [200, 200]);
  await world("release", { name: "b" });
  assert.equal((await slow).status, 200);
  assert.equal(tab.state.signedIn, true);
});

test("a first call that fails takes no other with it", async () => {
  let failed = 0;
  const fetch = (request) => (request.url.includes("c=0") ? (failed++, Promise.reject(new TypeError("no network"))) : browser.fetch(request));
  const tab = browser.tab({ fetch });
  const calls = await Promise.allSettled([0, 1, 2].map((n) => tab.fetch(`/me?c=${n}`)));
  assert.deepEqual(calls.map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"]);
  assert.equal(failed, 1);
  assert.equal(tab.state.signedIn, true);
});

test("a first call that is cancelled lets the others go", async () => {
  const tab = browser.tab();
  const giveUp = new AbortController();
  const first = tab.fetch("/me?d=0&hold=d", { signal: giveUp.signal });
  const second = tab.fetch("/me?d=1");
  await arrived("d=0", 1);
  giveUp.abort();
  await assert.rejects(first, { name: "AbortError" });
  assert.equal((await second).status, 200);
  await world("release", { name: "d" });
});

test("a call that waits can be cancelled", async () => {
  const tab = browser.tab();
  const first = tab.fetch("/me?e=0&hold=e");
  await arrived("e=0", 1);
  await assert.rejects(tab.fetch("/me?e=1", { signal: AbortSignal.timeout(20) }), { name: "TimeoutError" });
  await assert.rejects(tab.fetch("/me?e=2", { signal: AbortSignal.abort() }), { name: "AbortError" });
  await world("release", { name: "e" });
  assert.equal((await first).status, 200);
  assert.deepEqual(await world("log", { of: "e=" }), []);
});

test("what has to leave before the page is gone does not wait", async () => {
  const tab = browser.tab();
  const first = tab.fetch("/me?f=0&hold=f");
  await arrived("f=0", 1);
  assert.equal((await tab.fetch("/me?f=1", { method: "POST", keepalive: true })).status, 200);
  await world("release", { name: "f" });
  assert.equal((await first).status, 200);
});

test("nor for other tabs: it is sent before anything else can happen", async () => {
  const calls = [];
  const tab = browser.tab({ tabPatience: 30_000, fetch: (request) => (calls.push(request.url), browser.fetch(request)) });
  const last = tab.fetch("/me?i=0", { method: "POST", keepalive: true });
  assert.deepEqual(calls, [`${BASE}/me?i=0`]);
  assert.equal((await last).status, 200);
});

test("a first call that cannot even be sent holds nobody up", async () => {
  const page = globalThis.location;
  // The browser forbids this combination for another origin, and only there the client says `cors`.
  globalThis.location = new URL("/page", ELSEWHERE);
  const tab = browser.tab({ baseURL: BASE, channel: false, patience: 1e9 });
  globalThis.location = page;
  const calls = [tab.fetch("/me?j=0", { cache: "only-if-cached", mode: "same-origin" }), tab.fetch("/me?j=1")];
  const [first, second] = await Promise.allSettled(calls);
  assert.deepEqual([first.reason?.name, second.value?.status], ["TypeError", 200]);
});

test("a visitor without a session waits once, and is told once", async () => {
  const visitor = new Browser();
  const tab = visitor.tab();
  const answers = await Promise.all([0, 1, 2].map((n) => tab.fetch(`/me?g=${n}`)));
  assert.deepEqual(answers.map(({ status }) => status), [401, 401, 401]);
  assert.deepEqual(tab.told.map(({ code, here }) => [code, here]), [["token_required", true]]);
  assert.equal(tab.state.signedIn, false);
  const slow = tab.fetch("/public?g=3&hold=g");
  assert.equal((await tab.fetch("/public?g=4")).status, 200);
  await world("release", { name: "g" });
  await slow;
  visitor.close();
});

test("a first answer without a token ends the waiting as well", async () => {
  const tab = browser.tab();
  const calls = [tab.fetch("/public?h=0"), tab.fetch("/me?h=1"), tab.fetch("/me?h=2")];
  assert.deepEqual((await Promise.all(calls)).map(({ status }) => status), [200, 200, 200]);
  assert.equal(tab.state.signedIn, true);
});

test("refresh asks for a token before the first call", async () => {
  assert.equal(await browser.tab().refresh(), true);
  const visitor = new Browser();
  assert.equal(await visitor.tab().refresh(), false);
  visitor.close();
});

test("a first call on an unreachable server says so", async () => {
  const tab = browser.tab({ baseURL: BASE.replace(/\d+$/, "1") });
  await assert.rejects(tab.fetch("/me"));
  assert.equal(tab.state.signedIn, null);
});
