// axios and ky around the client, as docs/browser.md shows them; run where both are installed.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import axios from "axios";
import ky from "ky";

import { BASE, Browser, sent, world } from "./tab.mjs";

let browser;
beforeEach(() => (browser = new Browser()));
afterEach(() => browser.close());

const wrappers = {
  axios: (client) => {
    const api = axios.create({ baseURL: BASE, adapter: "fetch", env: { fetch: client.fetch } });
    return {
      post: async (path, body) => (await api.post(path, body)).data,
      status: (path) => api.get(path).then(({ status }) => status, (error) => error.response.status),
    };
  },
  ky: (client) => {
    const api = ky.create({ prefixUrl: BASE, fetch: client.fetch, timeout: false });
    return {
      post: (path, body) => api.post(path.slice(1), { json: body }).json(),
      status: (path) => api.get(path.slice(1)).then(({ status }) => status, (error) => error.response.status),
    };
  },
};

for (const [name, wrap] of Object.entries(wrappers)) {
  test(`${name} brings the token, and takes the next one`, async () => {
    const tab = await browser.signedIn("ada");
    const api = wrap(tab);
    assert.equal(await api.status("/me?a=1"), 200);
    assert.equal(sent((await world("log", { of: "a=1" }))[0]).sid, tab.state.claims.sid);
    await world("advance", { seconds: 16 * 60 });
    assert.equal(await api.status("/me"), 200);
    assert.deepEqual([tab.state.rotations, tab.state.claims.gen], [1, 1]);
  });

  test(`${name} waits for the dialog, and its body is sent again`, async () => {
    const asked = [];
    const onStepUp = async ({ code }) => {
      asked.push(code);
      await tab.fetch("/confirm", { method: "POST" });
    };
    const tab = await browser.signedIn("ada", { onStepUp });
    await world("advance", { seconds: 301 });
    assert.deepEqual(await wrap(tab).post("/sensitive", { amount: 7 }), { body: '{"amount":7}' });
    assert.deepEqual(asked, ["step_up_required"]);
  });

  test(`${name} hears a refusal in its own way`, async () => {
    const tab = await browser.signedIn("eve");
    await world("end", { user: "eve" });
    assert.equal(await wrap(tab).status("/me"), 401);
    assert.equal(tab.told[0].code, "revoked");
  });
}
