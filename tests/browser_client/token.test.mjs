// Where the token goes, and which one is kept.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BASE, Browser, createClient, ELSEWHERE, forged, sent, world } from "./tab.mjs";

let browser;
beforeEach(() => (browser = new Browser()));
afterEach(() => browser.close());

// What arrived with `of` in its query.
const arrived = (of) => world("log", { of });

test("a login hands the token out, and the next call brings it", async () => {
  const tab = await browser.signedIn("ada");
  assert.equal(tab.state.signedIn, true);
  const answer = await tab.fetch("/me?a=1");
  assert.equal((await answer.json()).user, "ada");
  const [request] = await arrived("a=1");
  assert.equal(sent(request).sid, tab.state.claims.sid);
  assert.equal(tab.state.claims.role, "admin");
});

test("the token is in no property of the client", async () => {
  const tab = await browser.signedIn();
  const [, token] = tab.authorization().split(" ");
  const [client] = browser.tabs;
  const seen = new Set();
  (function walk(value) {
    if (value === null || typeof value !== "object" || seen.has(value)) return assert.notEqual(value, token);
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) walk(value[key]);
  })(client);
  assert.ok(seen.size > 1);
  assert.throws(() => ((client.state.claims.sid = "other"), client), TypeError);
});

test("a token that is over is sent once more, and the rotation is seen", async () => {
  const tab = await browser.signedIn();
  const before = tab.state.claims;
  await world("advance", { seconds: 16 * 60 });
  assert.equal((await tab.fetch("/me?b=1", { method: "POST" })).status, 200);
  const [request] = await arrived("b=1");
  assert.equal(sent(request).jti, before.jti);
  const after = tab.state;
  assert.deepEqual([after.rotations, after.claims.gen, after.claims.sid], [1, 1, before.sid]);
});

for (const [what, address] of Object.entries({
  "another port": `${ELSEWHERE}/`,
  "an address without its scheme": ELSEWHERE.replace("http:", ""),
  "backslashes": ELSEWHERE.replace("http://", "\\\\"),
  "a URL": new URL(ELSEWHERE),
  "a request": new Request(ELSEWHERE),
})) {
  test(`another origin gets neither token nor cookie: ${what}`, async () => {
    const tab = await browser.signedIn();
    const { headers } = await (await tab.fetch(address)).json();
    assert.equal(headers.host, new URL(ELSEWHERE).host);
    assert.deepEqual([headers.authorization, headers.cookie], [undefined, undefined]);
  });
}

for (const address of [`blob:${BASE}/4c1a`, BASE.replace("http:", "https:"), "data:text/plain,x"]) {
  test(`it does not go to ${address.split(":")[0]}:`, async () => {
    const calls = [];
    const tab = await browser.signedIn("ada", { fetch: (...args) => (calls.push(args), browser.fetch(...args)) });
    await tab.fetch(address).catch(() => {});
    assert.deepEqual(calls.at(-1), [address.endsWith("/") || !/^https/.test(address) ? address : `${address}/`, undefined]);
    await tab.fetch("/me");
    assert.equal(calls.at(-1)[0].headers.get("authorization"), tab.authorization());
  });
}

test("what the browser is told of a call to the page's own origin", async () => {
  const calls = [];
  const tab = await browser.signedIn("ada", { fetch: (request) => (calls.push(request), browser.fetch(request)) });
  await tab.fetch("/me", { cache: "no-store", referrerPolicy: "no-referrer", redirect: "manual", keepalive: true });
  const [login, me] = calls.map(({ mode, credentials, redirect, referrerPolicy }) => [mode, credentials, redirect, referrerPolicy]);
  // Unsafe methods say where they come from; all else is as the caller wants it.
  assert.deepEqual(login, ["same-origin", "same-origin", "follow", "strict-origin"]);
  assert.deepEqual(me, ["same-origin", "same-origin", "manual", "no-referrer"]);
  assert.deepEqual([calls[1].cache, calls[1].keepalive], ["no-store", true]);
});

test("and of one to an API on another origin: the cookie comes along", async () => {
  const calls = [];
  const fetch = (request) => (calls.push(request), browser.fetch(request));
  const tab = browser.tab({ baseURL: ELSEWHERE, fetch, channel: false });
  await tab.fetch("/a");
  await tab.fetch("/b", { redirect: "manual" });
  await tab.fetch("/c", { credentials: "omit" });
  await tab.fetch(`${BASE}/public`);
  assert.deepEqual(calls.slice(0, 3).map(({ mode, credentials, redirect }) => [mode, credentials, redirect]),
    [["cors", "include", "error"], ["cors", "include", "manual"], ["cors", "omit", "follow"]]);
  // The page's own origin is a foreign one to it.
  assert.equal(calls[3], `${BASE}/public`);
});

test("a redirect that leads away takes nothing along, and one within is followed", async () => {
  const tab = await browser.signedIn();
  await assert.rejects(tab.fetch(`/redirect?to=${encodeURIComponent(ELSEWHERE)}`, { method: "POST", body: "x" }), TypeError);
  const answer = await tab.fetch("/redirect?to=/me%3Fc=1", { method: "POST", body: "x" });
  assert.equal(answer.status, 200);
  assert.equal(sent((await arrived("c=1"))[0]).sid, tab.state.claims.sid);
});

test("an API on another origin than the page may not redirect, by Node's own fetch", async () => {
  const here = globalThis.location;
  delete globalThis.location;
  const answers = [];
  const client = createClient({ baseURL: BASE, channel: false, header: "X-Token", fetch: async (request) => {
    if (!answers.length) return answers.push(1), new Response("", { headers: { "x-new-access-token": forged({}) } });
    return fetch(request);
  } });
  globalThis.location = here;
  await client.fetch("/public");
  assert.ok(client.authorization());
  for (const method of ["GET", "POST"])
    await assert.rejects(client.fetch(`/redirect?to=${encodeURIComponent(ELSEWHERE)}&d=1`, { method }), TypeError);
  assert.deepEqual((await arrived("d=1")).map(({ headers }) => headers["x-token"]), [client.authorization(), client.authorization()]);
  const seen = await (await fetch(`${ELSEWHERE}/log`)).json();
  assert.deepEqual(seen.log.filter(({ query }) => query.includes("d=1")), []);
});

test("calls with an access header of their own are left alone", async () => {
  const tab = await browser.signedIn();
  const own = { headers: { authorization: "Basic YTpi" } };
  assert.equal((await tab.fetch("/me?e=1", own)).status, 200);
  await tab.fetch(new Request(`${BASE}/me?e=1`, own));
  assert.deepEqual((await arrived("e=1")).map(({ headers }) => headers.authorization), ["Basic YTpi", "Basic YTpi"]);
});

test("and so are those that say `omit`, whose refusal says nothing about the session", async () => {
  const tab = await browser.signedIn();
  assert.equal((await tab.fetch("/me?f=1", { credentials: "omit" })).status, 401);
  assert.equal((await arrived("f=1"))[0].headers.authorization, undefined);
  assert.deepEqual([tab.state.signedIn, tab.told], [true, []]);
});

test("what fetch takes is passed on: method, headers, body, signal, a whole request", async () => {
  const tab = await browser.signedIn();
  const answer = await tab.fetch(new URL("/sensitive", BASE), { method: "POST", headers: { "x-a": "1" }, body: "text" });
  assert.equal((await answer.json()).body, "text");
  const request = new Request(`${BASE}/sensitive?g=1`, { method: "POST", headers: { "x-b": "2" }, body: "whole" });
  assert.equal((await (await tab.fetch(request)).json()).body, "whole");
  const [{ headers }] = await arrived("g=1");
  assert.equal(headers["x-b"], "2");
  // An address with another request for all the rest, as those write who rewrite addresses.
  const rewritten = new Request(`${ELSEWHERE}/old`, { method: "POST", headers: { "x-c": "3" }, body: "moved" });
  assert.equal((await (await tab.fetch("/sensitive?g=2", rewritten)).json()).body, "moved");
  assert.equal((await arrived("g=2"))[0].headers["x-c"], "3");
  await assert.rejects(tab.fetch("/me", { signal: AbortSignal.abort() }), { name: "AbortError" });
  const { fetch: alone } = tab;
  assert.equal((await alone("/me")).status, 200);
});

test("a header of the app's choice, and no scheme", async () => {
  const tab = await browser.signedIn("ada", { header: "X-Token" });
  await tab.fetch("/me?h=1");
  assert.equal((await arrived("h=1"))[0].headers["x-token"], tab.authorization());
});

test("relative addresses are resolved against the API", async () => {
  const tab = await browser.signedIn("ada", { baseURL: `${BASE}/v1/` });
  await tab.fetch("me?i=1");
  await tab.fetch("/me?i=1");
  assert.deepEqual((await arrived("i=1")).map(({ path }) => path), ["/v1/me", "/me"]);
});

// --- Which token is kept

const S1 = "01HF7YAT00C1NP6X5D30R30C9M";
const S2 = "01HF7YAT01C1NP6X5D30R30C9M";

// A client whose answers carry these tokens, one after another, as a cache or a slow network may bring them.
async function after(...tokens) {
  const left = [...tokens];
  const fetch = async () => new Response("", { headers: { "x-new-access-token": left.shift() } });
  const tab = browser.tab({ fetch, channel: false });
  for (const _ of tokens) await tab.fetch("/me");
  return tab;
}

const held = ({ state: { claims } }) => claims && [claims.sid, claims.gen, claims.jti];

for (const [older, newer] of [
  [{ sid: S1, gen: 9, jti: S2 }, { sid: S2, gen: 0, jti: S1 }],
  [{ sid: S1, gen: 9, jti: S2 }, { sid: S1, gen: 10, jti: S1 }],
  [{ sid: S1, gen: 3, jti: S1 }, { sid: S1, gen: 3, jti: S2 }],
]) {
  test(`in either order the newer one stays: ${JSON.stringify(newer)}`, async () => {
    const want = [newer.sid, newer.gen, newer.jti];
    assert.deepEqual(held(await after(forged(older), forged(newer))), want);
    assert.deepEqual(held(await after(forged(newer), forged(older))), want);
  });
}

const BAD = {
  "no token": "x",
  "two parts": "a.b",
  "no JSON": "e30.e30x.AAAA",
  "a refresh token": forged({ sid: S2 }, "rt+jwt"),
  "no sid": forged({ sid: undefined }),
  "a sid that is no ULID": forged({ sid: "9".repeat(26) }),
  "a jti in small letters": forged({ jti: S2.toLowerCase() }),
  "no gen": forged({ gen: undefined }),
  "a gen that is text": forged({ gen: "7" }),
  "a gen beyond all": forged({ gen: 1e300 }),
  "claims that are null": "eyJ0eXAiOiJhdCtqd3QifQ.bnVsbA.AAAA",
  "two tokens": `${forged({ sid: S2 })}, ${forged({ sid: S2 })}`,
  "a blank": `${forged({ sid: S2 })} x`,
};
for (const [what, token] of Object.entries(BAD)) {
  test(`what is malformed is ignored: ${what}`, async () => {
    assert.equal(held(await after(token)), null);
    assert.deepEqual(held(await after(forged({ sid: S1, gen: 1, jti: S1 }), token)), [S1, 1, S1]);
  });
}

test("claims in any script are read", async () => {
  const tab = await browser.signedIn("Ἀριάδνη 🧵");
  assert.equal(tab.state.claims.sub, "Ἀριάδνη 🧵");
});

test("a service worker that answers from its cache takes nothing back", async () => {
  const cache = new Map();
  const worker = async (request) => {
    if (!cache.has(request.url)) cache.set(request.url, await browser.fetch(request));
    return cache.get(request.url).clone();
  };
  const tab = await browser.signedIn("ada", { fetch: worker });
  await world("advance", { seconds: 16 * 60 });
  await tab.fetch("/me?first");
  await world("advance", { seconds: 16 * 60 });
  await tab.fetch("/me?second");
  assert.equal(tab.state.claims.gen, 2);
  await tab.fetch("/me?first");
  assert.deepEqual([tab.state.claims.gen, tab.state.rotations, tab.state.signedIn], [2, 2, true]);
});

test("a page that starts with what a cache kept of an older session goes on with the live one", async () => {
  const old = await browser.signedIn("ada");
  const cached = old.authorization().split(" ")[1];
  await browser.signedIn("ada", { channel: false });
  const answers = [new Response("", { headers: { "x-new-access-token": cached } })];
  const tab = browser.tab({ fetch: async (request) => answers.pop() ?? browser.fetch(request), channel: false });
  await tab.fetch("/me?cached");
  assert.equal(tab.state.claims.sid, old.state.claims.sid);
  assert.equal((await tab.fetch("/me?fresh")).status, 200);
  assert.ok(tab.state.claims.sid > old.state.claims.sid);
});
