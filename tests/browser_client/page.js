// Runs in a page of the app, with a strict policy and `Referrer-Policy: no-referrer`; says how it went by /test/tell.
import { createClient } from "/auth/client.js";

const elsewhere = new URLSearchParams(location.search).get("elsewhere");
const status = (call) => call.then((answer) => answer.status, (error) => error.name);
const away = (of) => `/redirect?to=${encodeURIComponent(`${elsewhere}/?${of}`)}`;
const story = {};
try {
  const client = createClient();
  const named = createClient({ header: "X-Token" });
  story.login = await status(client.fetch("/login?user=ada", { method: "POST" }));
  story.me = await status(client.fetch("me?relative"));
  await named.fetch("/public");
  await client.fetch("/me?from", { referrer: "/somewhere", referrerPolicy: "same-origin" });
  story.others = named.authorization() !== null;
  // Fetch takes `Authorization` off where a redirect leads away, and no other header.
  story.away = [await status(client.fetch(away("bearer"))), await status(named.fetch(away("named"), { method: "POST", body: "x" }))];
  story.plain = await status(fetch(away("plain"), { headers: { "x-token": "a token would be here" } }));
  story.within = await status(client.fetch("/redirect?to=/me%3Fwithin"));
  await fetch("/test/advance?seconds=960");
  story.rotates = await status(client.fetch("/me?over", { method: "POST", body: "x" }));
  story.rotations = client.state.rotations;
  story.seen = [document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length];
  story.opened = await new Promise((resolve) => (client.openWebSocket("/chat", ["chat.v1"]).onmessage = ({ data }) => resolve(JSON.parse(data))));
  await client.logout();
  story.after = [client.state.signedIn, await status(client.fetch("/me"))];
} catch (error) {
  story.error = `${error.stack}`;
}
await fetch(`/test/tell?story=${encodeURIComponent(JSON.stringify(story))}`);
