// Several tabs of one browser: what they tell each other, and what they do not believe.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BASE, Browser, forged, sent, until, world } from "./tab.mjs";

// How long a tab may take to hear another one, on loaded cores.
const LONG = 30_000;
let browser, channels;
beforeEach(() => {
  browser = new Browser();
  channels = [];
});
afterEach(() => {
  browser.close();
  channels.forEach((channel) => channel.close());
});

// Any script of this origin, with what it pleases to say.
function stranger(hears = () => {}) {
  const channel = new BroadcastChannel(`${browser.name} ${BASE}`);
  channel.onmessage = ({ data }) => hears(data);
  channels.push(channel);
  return channel;
}

// Two open tabs of one user, both with the token.
async function pair(user = "ada") {
  const one = await browser.signedIn(user);
  const two = browser.tab({ tabPatience: LONG });
  await two.fetch("/me");
  assert.equal(two.authorization(), one.authorization());
  return [one, two];
}

const jti = (tab) => tab.state.claims?.jti;

test("a new tab is given the token by an open one", async () => {
  await browser.signedIn();
  const tab = browser.tab({ tabPatience: LONG });
  await tab.fetch("/me?a=1");
  assert.ok(sent((await world("log", { of: "a=1" }))[0]));
});

test("a rotation in one tab is seen by the other", async () => {
  const [one, two] = await pair();
  await world("advance", { seconds: 16 * 60 });
  await one.fetch("/me");
  await until(() => jti(two) === jti(one));
  assert.deepEqual([two.state.rotations, two.state.claims.gen], [1, 1]);
});

test("nobody is waited for: other tabs sleep, or there is none", async () => {
  await browser.signedIn();
  stranger();
  browser.close();
  const tab = browser.tab({ tabPatience: 20 });
  assert.equal((await tab.fetch("/me")).status, 200);
  assert.equal(tab.state.signedIn, true);
});

test("the default limits are short, and a tab can keep to itself", async () => {
  await browser.signedIn("ada", { channel: false });
  const alone = browser.tab({ channel: false, tabPatience: LONG });
  assert.equal((await alone.fetch("/me?b=1")).status, 200);
  assert.equal((await world("log", { of: "b=1" }))[0].headers.authorization, undefined);
  const before = performance.now();
  const byDefault = browser.tab({ tabPatience: undefined, patience: undefined, channel: undefined });
  assert.equal((await byDefault.fetch("/me")).status, 200);
  assert.ok(performance.now() - before < LONG);
});

test("a browser that refuses channels is no reason to fail", async () => {
  const { BroadcastChannel } = globalThis;
  await browser.signedIn("ada");
  globalThis.BroadcastChannel = class {
    constructor() {
      throw new DOMException("The operation is insecure.", "SecurityError");
    }
  };
  try {
    const tab = browser.tab({ tabPatience: LONG });
    assert.equal((await tab.fetch("/me")).status, 200);
    assert.equal(tab.state.signedIn, true);
  } finally {
    globalThis.BroadcastChannel = BroadcastChannel;
  }
});

test("a logout signs out all tabs, and tells each once", async () => {
  const [one, two] = await pair();
  await one.logout();
  await until(() => two.told.length);
  assert.deepEqual([one.state.signedIn, two.state.signedIn], [false, false]);
  assert.deepEqual([one.authorization(), two.authorization()], [null, null]);
  assert.deepEqual([...one.told, ...two.told].map(({ code, here }) => [code, here]), [["logged_out", true], ["logged_out", false]]);
  assert.equal((await two.fetch("/me")).status, 401);
  assert.equal(two.told.length, 1);
  assert.equal(browser.jar.size, 0);
});

test("a logout that the server did not do is none", async () => {
  const tab = await browser.signedIn("ada");
  await assert.rejects(tab.logout("/own?status=503&body={}"), ({ cause }) => cause.status === 503);
  assert.deepEqual([tab.state.signedIn, tab.told], [true, []]);
});

test("a session that was ended elsewhere is over in all tabs once one is told", async () => {
  const [one, two] = await pair("eve");
  await world("end", { user: "eve" });
  const answer = await one.fetch("/me");
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "revoked"]);
  await until(() => two.told.length);
  assert.deepEqual([one.told[0].code, two.told[0].code], ["revoked", "revoked"]);
  assert.ok(one.told[0].detail);
});

test("a late answer of an old session neither signs out the new one nor brings the old one back", async () => {
  const tab = await browser.signedIn("fay");
  await world("advance", { seconds: 16 * 60 });
  const rotated = tab.fetch("/me?late=0&hold=late");
  await until(async () => (await world("log", { of: "late=0" })).length);
  await tab.logout();
  const lateRefusal = tab.fetch("/me?hold=late");
  await tab.fetch("/login?user=fay", { method: "POST" });
  const now = jti(tab);
  await world("release", { name: "late" });
  await rotated;
  assert.equal((await lateRefusal).status, 401);
  assert.deepEqual([jti(tab), tab.state.signedIn], [now, true]);
});

test("a late refusal of an old session says nothing about the new one", async () => {
  const tab = await browser.signedIn("gus");
  await world("end", { user: "gus" });
  const late = tab.fetch("/me?hold=gus");
  await until(async () => (await world("log", { of: "hold=gus" })).length);
  await tab.fetch("/login?user=gus", { method: "POST" });
  await world("release", { name: "gus" });
  assert.equal((await (await late).json()).code, "revoked");
  assert.deepEqual([tab.state.signedIn, tab.told], [true, []]);
});

test("a token of the session that was logged out is not taken any more, whoever brings it", async () => {
  const answers = [];
  const tab = await browser.signedIn("fay", { fetch: async (request) => answers.pop() ?? browser.fetch(request) });
  const [, old] = tab.authorization().split(" ");
  await tab.logout();
  const heard = [];
  tab.subscribe(({ claims }) => heard.push(claims?.sid));
  answers.push(new Response("", { headers: { "x-new-access-token": old } }));
  await tab.fetch("/me");
  const channel = stranger();
  channel.postMessage({ token: old });
  const later = forged({ sub: "fay" });
  channel.postMessage({ token: later });
  await until(() => heard.length);
  assert.deepEqual([tab.authorization(), heard.length], [`Bearer ${later}`, 1]);
});

test("garbage on the channel changes nothing", async () => {
  const tab = await browser.signedIn();
  const now = tab.authorization();
  const { sid } = tab.state.claims;
  const heard = [];
  const channel = stranger((data) => heard.push(data));
  for (const data of [null, 7, "x", [], {}, { token: 7 }, { token: {} }, { token: `${now}\r\nx: y` }, { ended: true }, { ended: "x" },
    { ended: sid }, { ended: sid, code: "token_required" }, { ended: sid, code: "toString" },
    { ended: "01HF7YAT00C1NP6X5D30R30C9M", code: "revoked" }, { ask: { token: 1 } }])
    channel.postMessage(data);
  channel.postMessage({ ask: true });
  await until(() => heard.length > 1);
  assert.deepEqual([tab.authorization(), tab.state.signedIn, tab.told], [now, true, []]);
});

test("a forged token that looks newer than all does no lasting harm", async () => {
  const [one, two] = await pair();
  const { sub } = one.state.claims;
  // With the name of a key that the server has: one that it does not know counts as no token.
  const [, head] = /^Bearer ([^.]+)/.exec(one.authorization());
  stranger().postMessage({ token: forged({ sub }).replace(/^[^.]+/, head) });
  await until(() => jti(one) === jti(two) && one.state.claims.sid.startsWith("7Z"));
  for (const tab of [one, two]) {
    assert.equal((await tab.fetch("/me", { method: "POST", body: "x" })).status, 200);
    assert.deepEqual([tab.state.signedIn, tab.state.claims.sub, tab.told], [true, sub, []]);
    assert.equal((await tab.fetch("/me")).status, 200);
  }
});

test("nor where it was sent with a stream: the caller hears of it, and the next call goes without", async () => {
  const tab = await browser.signedIn();
  const [, head] = /^Bearer ([^.]+)/.exec(tab.authorization());
  const { sub } = tab.state.claims;
  stranger().postMessage({ token: forged({ sub }).replace(/^[^.]+/, head) });
  await until(() => tab.state.claims.sid.startsWith("7Z"));
  const answer = await tab.fetch("/me", { method: "POST", body: new Blob(["x"]).stream(), duplex: "half" });
  assert.deepEqual([answer.status, tab.state.claims, tab.told], [401, null, []]);
  assert.equal((await tab.fetch("/me")).status, 200);
  assert.equal(tab.state.signedIn, true);
});

test("another user's login elsewhere never makes this page theirs", async () => {
  const page = await browser.signedIn("ada");
  await page.fetch("/me");
  const other = await browser.signedIn("bob");
  await other.fetch("/me");
  const old = page.authorization();
  const answer = await page.fetch("/me", { method: "POST" });
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "session_mismatch"]);
  assert.equal((await page.fetch("/me")).status, 401);
  assert.deepEqual(page.told.map(({ code, here }) => [code, here]), [["session_mismatch", true]]);
  assert.deepEqual([page.state.signedIn, page.authorization()], [false, old]);
  assert.deepEqual([other.state.signedIn, other.told], [true, []]);
  // A login here is no surprise to anybody.
  await page.fetch("/login?user=bob", { method: "POST" });
  assert.equal((await (await page.fetch("/me")).json()).user, "bob");
});

test("nor where the page has its token from another tab, and has been served with it", async () => {
  const [one, page] = await pair("ada");
  one.close();
  await (await browser.signedIn("bob", { channel: false })).fetch("/me");
  assert.equal((await page.fetch("/me")).status, 401);
  assert.deepEqual(page.told.map(({ code }) => code), ["session_mismatch"]);
});

test("a new page is not held up by a tab that still has another user's token", async () => {
  const stale = await browser.signedIn("ada");
  await stale.fetch("/me");
  await browser.signedIn("bob", { channel: false });
  const page = browser.tab({ tabPatience: LONG });
  const answer = await page.fetch("/me");
  assert.equal((await answer.json()).user, "bob");
  assert.deepEqual([page.state.claims.sub, page.told], ["bob", []]);
  assert.equal(stale.state.claims.sub, "ada");
});

test("a login of the same user in another tab is everybody's", async () => {
  const [one, two] = await pair();
  await one.logout();
  await until(() => two.told.length);
  await one.fetch("/login?user=ada", { method: "POST" });
  await until(() => two.state.signedIn);
  assert.equal(two.authorization(), one.authorization());
});

test("the state is the same object until it changes, as frameworks want it", async () => {
  const tab = browser.tab();
  assert.equal(tab.state, tab.state);
  assert.deepEqual(tab.state, { signedIn: null, rotations: 0, claims: null });
  const before = tab.state;
  await tab.fetch("/login?user=ada", { method: "POST" });
  const after = tab.state;
  await tab.fetch("/me");
  assert.notEqual(before, after);
  assert.equal(tab.state, after);
});

test("who is subscribed hears of each change, until they leave", async () => {
  const heard = [];
  const tab = browser.tab({ onSignedOut: undefined });
  const leave = tab.subscribe((state) => heard.push(state));
  await tab.fetch("/login?user=ada", { method: "POST" });
  await tab.logout();
  await until(() => heard.length >= 2);
  assert.deepEqual(heard.map(({ signedIn }) => signedIn), [true, false]);
  leave();
  await tab.fetch("/login?user=ada", { method: "POST" });
  assert.equal(heard.length, 2);
});

test("a page that comes back from the back-forward cache asks for what it has missed", async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  const one = await browser.signedIn("ada");
  delete globalThis.addEventListener;
  const two = browser.tab({ tabPatience: LONG });
  await two.fetch("/me");
  page.dispatchEvent(new Event("pagehide"));
  await world("advance", { seconds: 16 * 60 });
  await two.fetch("/me");
  await browser.tab({ tabPatience: LONG }).fetch("/me");
  assert.notEqual(jti(one), jti(two), "asleep");
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await until(() => jti(one) === jti(two));
  one.close();
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await two.fetch("/login?user=ada", { method: "POST" });
  await browser.tab({ tabPatience: LONG }).fetch("/me");
  assert.equal(one.authorization(), null);
});

test("and asks the server, since no other tab may be left to tell that the session is over", async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  const tab = await browser.signedIn("eve");
  delete globalThis.addEventListener;
  page.dispatchEvent(new Event("pagehide"));
  await world("end", { user: "eve" });
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  await tab.fetch("/public");
  assert.deepEqual(tab.told, [], "a page that was loaded has asked already");
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await until(() => tab.told.length);
  assert.deepEqual([tab.told[0].code, tab.authorization()], ["revoked", null]);
});

test("a closed client holds nothing and hears nothing", async () => {
  const [one, two] = await pair();
  two.close();
  await world("advance", { seconds: 16 * 60 });
  await one.fetch("/me");
  await browser.tab({ tabPatience: LONG }).fetch("/me");
  assert.equal(two.authorization(), null);
});

test("nor does it take what a call under way brings", async () => {
  const tab = await browser.signedIn("ada");
  await world("advance", { seconds: 16 * 60 });
  const call = tab.fetch("/me?under=way&hold=way");
  await until(async () => (await world("log", { of: "under=way" })).length);
  tab.close();
  await world("release", { name: "way" });
  assert.ok((await call).headers.get("x-new-access-token"));
  assert.equal(tab.authorization(), null);
});
