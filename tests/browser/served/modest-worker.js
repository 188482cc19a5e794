// The service worker of docs/server-rendered.md: forms and navigations are the browser's own.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { method, mode } = event.request;
  if (method !== "GET" || mode === "navigate") return;
  event.respondWith(fetch(event.request));
});
