// Who is asked to prove who they are, how often, and what is repeated afterwards.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BASE, Browser, pause, until, world } from "./tab.mjs";

let browser, asked;
beforeEach(() => {
  browser = new Browser();
  asked = [];
});
afterEach(() => browser.close());

// A tab whose login is no longer fresh, and what its user does when asked.
async function stale(onStepUp, options = {}) {
  const dialog = async (challenge) => {
    asked.push(challenge);
    return onStepUp(tab, challenge);
  };
  const tab = await browser.signedIn("ada", { onStepUp: onStepUp && dialog, ...options });
  await world("advance", { seconds: 301 });
  return tab;
}

const confirm = async (tab) => {
  const answer = await tab.fetch("/confirm", { method: "POST" });
  assert.equal(answer.status, 200);
};
const post = (tab, query, body = "pay") => tab.fetch(`/sensitive?${query}`, { method: "POST", body });
const count = async (of) => (await world("log", { of })).length;

test("the user is asked, and the call is repeated once with all that it had", async () => {
  const tab = await stale(confirm);
  const answer = await post(tab, "a=1");
  assert.deepEqual([answer.status, (await answer.json()).body], [200, "pay"]);
  assert.deepEqual(asked.map(({ code, url }) => [code, url]), [["step_up_required", `${BASE}/sensitive?a=1`]]);
  assert.match(asked[0].detail, /fresh proof/);
  assert.equal(await count("a=1"), 2);
});

for (const [what, body] of Object.entries({
  "a form": () => new URLSearchParams({ a: "1" }),
  "a file": () => new Blob(["text"]),
  "bytes": () => new TextEncoder().encode("text"),
})) {
  test(`and whatever its body is: ${what}`, async () => {
    const tab = await stale(confirm);
    const answer = await post(tab, "b=1", body());
    assert.deepEqual([answer.status, (await answer.json()).body], [200, what === "a form" ? "a=1" : "text"]);
  });
}

test("a whole request is repeated as well, as ky sends it", async () => {
  const tab = await stale(confirm);
  const answer = await tab.fetch(new Request(`${BASE}/sensitive?c=1`, { method: "POST", body: "whole" }));
  assert.deepEqual([answer.status, (await answer.json()).body, await count("c=1")], [200, "whole", 2]);
});

test("a stream cannot be sent twice: its caller gets the 401, and nobody is asked", async () => {
  const tab = await stale(confirm);
  const body = new Blob(["text"]).stream();
  const answer = await tab.fetch("/sensitive?d=1", { method: "POST", body, duplex: "half" });
  assert.deepEqual([answer.status, (await answer.json()).code, asked.length, await count("d=1")], [401, "step_up_required", 0, 1]);
  assert.equal(tab.state.signedIn, true);
});

test("calls that are challenged together share one dialog", async () => {
  const tab = await stale(confirm);
  const answers = await Promise.all([post(tab, "e=1"), post(tab, "e=2"), post(tab, "e=3")]);
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
  assert.deepEqual([asked.length, await count("e=")], [1, 6]);
});

test("a challenge that arrives when all is confirmed asks nobody again", async () => {
  const tab = await stale(confirm);
  const late = post(tab, "f=1&hold=f");
  await until(() => count("f=1"));
  assert.equal((await post(tab, "f=2")).status, 200);
  await world("release", { name: "f" });
  assert.equal((await late).status, 200);
  assert.equal(asked.length, 1);
});

test("who declines gets the refusal, and may be asked again", async () => {
  const tab = await stale(() => false);
  for (const times of [1, 2]) {
    const answer = await post(tab, "g=1");
    assert.deepEqual([answer.status, (await answer.json()).code, asked.length], [401, "step_up_required", times]);
  }
  assert.deepEqual([await count("g=1"), tab.told], [2, []]);
});

test("a dialog that fails fails the calls that wait for it, and no later one", async () => {
  let answered = 0;
  const fetch = (request) => browser.fetch(request).finally(() => (answered += /h=[12]/.test(request.url)));
  const dialog = async (tab) => {
    if (asked.length > 1) return confirm(tab);
    await until(() => answered === 2);
    await pause(100); // both have been read
    throw new Error("no dialog");
  };
  const tab = await stale(dialog, { fetch });
  const both = await Promise.allSettled([post(tab, "h=1"), post(tab, "h=2")]);
  assert.deepEqual(both.map(({ reason }) => reason?.message), ["no dialog", "no dialog"]);
  assert.equal((await post(tab, "h=3")).status, 200);
});

test("who says yes without a proof is refused after one repeat, and not asked in a circle", async () => {
  const tab = await stale(() => true);
  const answer = await post(tab, "i=1");
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "step_up_required"]);
  assert.deepEqual([asked.length, await count("i=1")], [1, 2]);
});

test("without a handler the refusal is the caller's", async () => {
  const tab = await stale(undefined);
  assert.deepEqual([(await post(tab, "j=1")).status, await count("j=1"), tab.state.signedIn], [401, 1, true]);
});

test("a dialog whose own call is challenged does not wait for itself", async () => {
  const inside = [];
  const tab = await stale(async (tab) => {
    inside.push((await post(tab, "k=inside")).status);
    return confirm(tab);
  });
  assert.equal((await post(tab, "k=1")).status, 200);
  assert.deepEqual([inside, asked.length], [[401], 1]);
});

test("a call that waits for the dialog can be cancelled, and the others go on waiting", async () => {
  const [early, late] = [new AbortController(), new AbortController()];
  // One of them just as its challenge arrives.
  const fetch = (request) => browser.fetch(request).finally(() => request.url.endsWith("n=0") && early.abort());
  const dialog = async (tab) => {
    late.abort();
    assert.deepEqual((await cancelled).map(({ reason }) => reason?.name), ["AbortError", "AbortError"]);
    return confirm(tab);
  };
  // Without a channel Node ends where nothing is left to wait for but a dialog that waits for itself.
  const tab = await stale(dialog, { fetch, channel: false });
  const calls = [early, late].map(({ signal }, n) => tab.fetch(`/sensitive?n=${n}`, { method: "POST", body: "pay", signal }));
  const cancelled = Promise.allSettled(calls);
  assert.equal((await post(tab, "n=2")).status, 200);
  assert.deepEqual([asked.length, await count("n=0"), await count("n=1"), await count("n=2")], [1, 1, 1, 2]);
});

test("a new page whose first call is challenged does not hold up the others", async () => {
  await stale(undefined, { channel: false });
  const order = [];
  const tab = browser.tab({
    onStepUp: async () => {
      await until(() => order.includes("me"));
      return confirm(tab);
    },
  });
  const first = post(tab, "l=1").then(({ status }) => order.push(status));
  await tab.fetch("/me").then(() => order.push("me"));
  await first;
  assert.deepEqual(order, ["me", 200]);
});

const guards = JSON.stringify({ detail: "x", code: "step_up_required" });
const over = JSON.stringify({ detail: "x", code: "revoked" });
for (const [what, query] of Object.entries({
  "without a challenge": { body: guards },
  "another code": { body: JSON.stringify({ code: "totp_required" }), challenge: "Bearer" },
  "no JSON": { body: guards, type: "text/html", challenge: "Bearer" },
  "broken JSON": { body: guards.slice(1), challenge: "Bearer" },
  "JSON of another kind": { body: "null", challenge: "Bearer" },
  "another status": { body: guards, status: "403", challenge: "Bearer" },
  "the code of an end": { body: over },
  "the code of a bad token": { body: JSON.stringify({ code: "invalid_token" }), challenge: "Basic" },
})) {
  test(`an app's own refusal is the app's: ${what}`, async () => {
    const tab = await stale(confirm);
    const answer = await tab.fetch(`/own?${new URLSearchParams({ m: "1", ...query })}`, { method: "POST", body: "x" });
    assert.equal(answer.status, Number(query.status ?? 401));
    assert.equal(await answer.text(), query.body);
    assert.deepEqual([asked, await count("m=1"), tab.state.signedIn, tab.told], [[], 1, true, []]);
  });
}
