// The page: a small app on the client. What is the client's is in `createClient`; the rest shows it.

import { createClient } from "/auth/client.js";
import * as attacks from "./attacks.js";
import { showDevices, showThief, standOn } from "./devices.js";
import { $, element, pause } from "./dom.js";
import { showToken } from "./life.js";
import { note } from "./log.js";
import { askWho } from "./step_up.js";
import { whyOver } from "./words.js";

const EVERY = 2; // seconds between two calls: a rotation is seen soon after it is due

const FIRST =
  " The call came with an access token that was over. It was served all the same, and its answer brought the next pair: the access token in a header, the refresh token in the cookie.";

let about;
let socket = null;
let shown = null; // the claims that the page shows; null while nobody is signed in
let bearer = null; // the call whose answer brought a token last
let hasTold = false; // what a rotation is
let isStill = false; // no calls by itself: a question is open
let isThere = true; // the demo, when it was last asked

const client = createClient({ fetch: observed, onStepUp, onSignedOut });

// --- What the client tells

// The page's fetch, looked at on its way: a rotation is what a newcomer came to see.
async function observed(request) {
  const response = await fetch(request);
  if (response.headers.has("x-new-access-token")) bearer = `${request.method} ${new URL(request.url).pathname}`;
  return response;
}

function tellRotation({ gen }) {
  const by = bearer ? `by ${bearer}` : "by another tab, which has shared the new access token";
  note(`Rotated ${by}: generation ${gen}.${hasTold ? "" : FIRST}`, "turn");
  hasTold = true;
}

async function onStepUp({ url }) {
  isStill = true;
  const { pathname, search } = new URL(url);
  const what = pathname + search;
  const isEnding = /^.auth.sessions[/?]/.test(what);
  const why = isEnding
    ? "Ending a session takes a fresh login: a copied cookie cannot give one."
    : "The guard doubts that it is you: the cookie came from a town that your session does not know.";
  note(`Step-up: the guard wants a fresh proof of who you are before ${what}.`);
  const isUser = await askWho(client.state.claims?.sub ?? $("user").textContent, why, confirm);
  note(isUser ? "Confirmed: the password was right, and the call is repeated." : "You gave no proof, so the call stays refused.", isUser ? "good" : "bad");
  isStill = false;
  // Whoever is doubted is asked again by each call; who has only not ended a device goes on as before.
  if (!isUser && !isEnding && $("keep-calling").checked) {
    $("keep-calling").checked = false;
    note("The page makes no calls by itself any more, since each would ask again.");
  }
  return isUser;
}

async function confirm(password) {
  const response = await send("/confirm", { password });
  return response.ok ? null : (await response.json()).detail;
}

function onSignedOut(refusal) {
  const why = whyOver(refusal, shown !== null);
  const focused = $("session").contains(document.activeElement);
  shown = null;
  socket?.close();
  showToken(null);
  $("over").hidden = !why;
  if (why) {
    $("over").replaceChildren(element("b", {}, `Your session is over: ${refusal.code}. `), why);
    note(`The session is over: ${refusal.code}.`, refusal.code === "logged_out" ? "" : "bad");
  }
  show(false);
  if (focused) $("sign-in-title").focus();
}

function onChange({ signedIn, claims }) {
  if (!signedIn || !claims) return;
  if (claims.sid === shown?.sid && claims.gen > shown.gen) tellRotation(claims);
  const isOther = claims.sid !== shown?.sid;
  shown = claims;
  bearer = null;
  showToken(claims);
  if (isOther) begin(claims);
}

function begin(claims) {
  isStill = false;
  $("user").textContent = claims.sub;
  note(`Signed in as ${claims.sub}.`, "good");
  showThief(null);
  show(true);
  watch();
  look();
}

function show(isSignedIn) {
  $("sign-in").hidden = isSignedIn;
  $("session").hidden = $("who").hidden = !isSignedIn;
  $("log-in-first").hidden = isSignedIn;
  for (const button of document.querySelectorAll(".attack")) button.disabled = !isSignedIn;
}

// --- What the page asks for

function send(path, body) {
  return client.fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function look() {
  const response = await client.fetch("/auth/sessions");
  if (response.ok) showDevices(await response.json(), (...device) => answered(() => end(...device)));
}

async function keepLooking() {
  for (;;) {
    await pause(EVERY);
    if (shown && !isStill && $("keep-calling").checked) await answered(look, true);
  }
}

// Do what asks the demo, and say so where it is not there. What nobody has clicked says it once.
async function answered(ask, isByItself = false) {
  const found = await ask().then(
    () => true,
    (error) => {
      if (!(error instanceof TypeError)) throw error; // `fetch` has no other for a server that is away
      return false;
    },
  );
  if (!found && (isThere || !isByItself)) note("The demo does not answer. Is it still running?", "bad");
  if (found && !isThere) note("The demo answers again.", "good");
  isThere = found;
}

// The guard closes it in the moment in which the session ends: nothing has to be asked for that.
function watch() {
  socket?.close();
  const mine = (socket = client.openWebSocket("/live"));
  mine.onclose = async ({ code, reason }) => {
    if (code === 4401) note(`The guard has closed this page's WebSocket: ${code} ${reason}.`, "bad");
    await pause(EVERY);
    if (shown && socket === mine) watch();
  };
}

async function end(id, name) {
  const response = await client.fetch(`/auth/sessions/${id}`, { method: "DELETE" });
  if (response.ok) note(`Ended ${name}. Its tokens count no more, and its sockets were closed.`, "good");
  if (!shown) return;
  await look();
  if (document.activeElement === document.body) standOn(id); // a dialog has closed, onto a button that was drawn anew
}

async function endOthers() {
  const response = await client.fetch("/auth/sessions?others", { method: "DELETE" });
  if (response.ok) note(`Ended ${(await response.json()).ended} other sessions.`, "good");
  await look();
}

async function call() {
  const response = await client.fetch("/api/me");
  const body = await response.json();
  note(`GET /api/me: ${response.status}, ${response.ok ? `served to ${body.user}` : body.code}.`, response.ok ? "" : "bad");
}

async function logOut() {
  try {
    await client.logout();
  } catch (error) {
    if (!error.cause) throw error;
    if (shown) note(`Log out: ${error.cause.status}.`, "bad"); // else the session was over, and the page has said so
  }
}

async function logIn({ user, password }) {
  const response = await send("/login", { user: user.value, password: password.value });
  $("problem").textContent = response.ok ? "" : (await response.json()).detail;
  if (response.ok) $("life-title").focus();
}

// --- Towns

const COOKIE = "demo-town";

function setUpTowns() {
  for (const { id, city, km } of about.towns) {
    const far = km ? `${city} (${km.toLocaleString("en")} km)` : city;
    $("town").append(element("option", { value: id }, far));
    if (km) $("thief-town").append(element("option", { value: id }, far));
  }
  $("town").value = document.cookie.match(`${COOKIE}=([a-z-]+)`)?.[1] ?? about.towns[0].id;
  $("thief-town").value = about.towns.at(-1).id;
  $("town").onchange = () => {
    // The demo plays the network: what comes with this cookie comes from an address there.
    document.cookie = `${COOKIE}=${$("town").value}; SameSite=Lax; Path=/`;
    note(`From now on this browser is in ${$("town").selectedOptions[0].text}.`);
  };
}

// --- Start

function setUp() {
  $("access").textContent = about.access;
  $("where").textContent = about.loopback
    ? "It listens on this computer only."
    : "It listens to other computers as well: whoever reaches it can log in and press its buttons.";
  const foreign = attacks.foreignOrigin();
  $("second").hidden = $("second-why").hidden = !foreign;
  if (foreign) $("second").href = $("second-name").textContent = foreign;
  setUpTowns();
  attacks.setUp({ client, about, showThief });
  $("fresh").textContent = about.fresh;
  $("log-in").onsubmit = (event) => {
    event.preventDefault();
    answered(() => logIn(event.target.elements));
  };
  $("log-out").onclick = () => answered(logOut);
  $("call").onclick = () => answered(call);
  $("end-others").onclick = () => answered(endOthers);
}

about = await (await fetch("/demo/about")).json();
setUp();
show(false);
client.subscribe(onChange);
onChange(client.state); // another tab's token may have come before anybody listened
await answered(client.refresh);
keepLooking();
