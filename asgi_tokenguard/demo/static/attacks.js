// The buttons of the attacks, and what the guard answered to each.

import { $, element, pause } from "./dom.js";
import { note } from "./log.js";
import { MEANS } from "./words.js";

const PATIENCE = 5; // seconds for the frame of another site to load and to post; it takes a tenth of one

let client;
let about;
let showThief;

export function setUp(tools) {
  ({ client, about, showThief } = tools);
  for (const [id, attack] of Object.entries({ replay, elsewhere, cross, forge })) {
    $(id).onclick = async () => {
      if ($(id).ariaDisabled === "true") return;
      const show = (...answers) => $(`${id}-answer`).replaceChildren(...answers);
      $(id).ariaDisabled = "true"; // not `disabled`, which would take the focus away
      show();
      try {
        await attack(show);
      } catch {
        show(said("It got no answer. Is the demo still running?"));
      }
      $(id).ariaDisabled = null;
    };
  }
}

async function post(path, body = {}) {
  const response = await client.fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return [response.status, await response.json()];
}

async function replay(show) {
  const done = [];
  for (;;) {
    const [status, told] = await post("/demo/replay");
    if (status === 409) {
      show(said("The thief has copied your cookie. It is still the live one: now wait for its next rotation …"));
      await rotation();
    } else if (status !== 200) {
      return show(...done, said(told.detail));
    } else {
      const answer = drawAnswer("replay", told);
      show(...done, answer);
      if (told.status !== 200) return;
      done.push(answer);
      show(answer, said(`The thief tries again after the ${about.grace} s of grace …`));
      await pause(about.grace + 1);
    }
  }
}

// The next one, and that its successor is in use; with no calls of the page's own, there are some from here.
async function rotation() {
  const before = client.state.claims?.gen;
  while (client.state.claims && client.state.claims.gen === before) {
    await pause(1);
    await client.fetch("/api/me");
  }
  await client.fetch("/api/me");
}

async function elsewhere(show) {
  const town = about.towns.find(({ id }) => id === $("thief-town").value);
  const [status, told] = await post("/demo/elsewhere", { town: town.id });
  showThief(town);
  show(status === 200 ? drawAnswer("elsewhere", told) : said(told.detail));
}

async function cross(show) {
  const foreign = foreignOrigin();
  const answers = [foreign ? await postFromFrame(foreign) : said("Under this name the demo has no second one to be another site.")];
  show(...answers);
  const [status, told] = await post("/demo/cross-site");
  show(...answers, status === 200 ? drawAnswer("cross", told) : said(told.detail));
}

async function postFromFrame(foreign) {
  const name = crypto.randomUUID();
  const frame = element("iframe", { title: "A page of another site", src: `${foreign}/demo/foreign#${name}` });
  $("frame").replaceChildren(frame);
  for (let waited = 0; waited < PATIENCE; waited += 0.25) {
    const response = await client.fetch(`/demo/seen/${name}`);
    if (response.status === 200) {
      const told = await response.json();
      const sent = `POST /api/transfer, Origin: ${told.origin}, Sec-Fetch-Site: ${told.site}, ${told.cookie_came ? "with" : "without"} your cookie`;
      return drawAnswer("cross", { ...told, sent, handed_out: told.handed_out ? ["a token"] : [] });
    }
    await pause(0.25);
  }
  return said(`No post has come from ${foreign}: something keeps that page from loading here.`);
}

// The same server under its other name: for a browser another site. An address of another computer has no second name.
export function foreignOrigin() {
  const other = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
  if (!other) return null;
  const url = new URL(location.origin);
  url.hostname = other;
  return url.origin;
}

async function forge(show) {
  const value = client.authorization() ?? "";
  const at = value.lastIndexOf(".") + 1;
  const forged = `${value.slice(0, at)}${value[at] === "A" ? "B" : "A"}${value.slice(at + 1)}`;
  // The page's own fetch: a header that the caller has set is not the client's business.
  const response = await fetch("/api/me", { headers: { authorization: forged } });
  const told = await response.json();
  const sent = "GET /api/me with a forged access token and your good cookie";
  const handed = response.headers.has("x-new-access-token") ? ["access token"] : [];
  show(drawAnswer("forge", { ...told, sent, status: response.status, handed_out: handed }));
}

function said(text) {
  return element("div", {}, element("p", {}, text));
}

function drawAnswer(attack, { sent, status, code, detail, handed_out: handed }) {
  const isServed = status < 400;
  const verdict = `${isServed ? "Served" : "Refused"}: ${[status, code].filter(Boolean).join(" ")}`;
  note(`Attack: ${$(`${attack}-title`).textContent}. ${verdict}`, isServed ? "bad" : "good");
  const lines = [
    element("p", { class: "verdict" }, verdict),
    element("p", {}, MEANS[attack][code ?? status] ?? ""),
    element("p", { class: "small" }, `Sent: ${sent}. Handed out: ${handed.join(" and ") || "nothing"}.`),
  ];
  if (detail) lines.push(element("p", { class: "small" }, `The guard says: “${detail}”`));
  return element("div", { class: isServed ? "served" : "refused" }, ...lines);
}
