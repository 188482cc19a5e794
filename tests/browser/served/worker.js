// A service worker as careless ones are: it keeps every answer to a GET, `no-store` or not, and serves what it keeps of /kept.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => event.respondWith(serve(event.request)));

async function serve(request) {
  const kept = await caches.open("kept");
  const isKept = new URL(request.url).pathname === "/kept";
  const found = isKept && (await kept.match(request.url));
  if (found) return found;
  const answer = await fetch(request);
  if (isKept) await kept.put(request.url, answer.clone());
  return answer;
}
