// A page of an app that uses the client, as its users would write it, with what a story asks it on `window`.
import { createClient } from "/auth/client.js";

// What the page was told, in order.
window.signedOut = [];
window.asked = [];

window.client = createClient({
  ...JSON.parse(new URLSearchParams(location.search).get("options") ?? "{}"),
  onSignedOut: (refusal) => signedOut.push(refusal),
  onStepUp: async ({ code }) => {
    asked.push(code);
    return (await client.fetch("/confirm", { method: "POST" })).ok;
  },
});

window.ask = async (path, options = {}) => {
  const answer = await client.fetch(path, { cache: "no-store", ...options });
  const token = answer.headers.get("x-new-access-token");
  return { status: answer.status, body: await answer.json().catch(() => null), token: token !== null };
};

window.openSocket = () => {
  window.heard = [];
  window.socketClosed = new Promise((resolve) => {
    const socket = (window.socket = client.openWebSocket("/ws"));
    socket.onmessage = ({ data }) => heard.push(data);
    socket.onclose = ({ code, reason }) => resolve([code, reason]);
  });
};

// The page's first call, as it loads. A URL of its own: requests for one wait for each other at the lock of the HTTP cache.
window.loaded = ask(`/me?${location.pathname}`);
