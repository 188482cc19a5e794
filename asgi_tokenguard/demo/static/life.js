// The life of the tokens: how long the access token has left, and how the session's refresh tokens follow each other.

import { $, clock, element, fill } from "./dom.js";

const SHOWN = 6; // generations; those before are as spent as the last five

let held = null; // the claims of the access token
let generations = []; // { gen, at }

// The claims that the page holds now; null without a token.
export function showToken(claims) {
  if (claims && claims.sid !== held?.sid) generations = [];
  if (claims && claims.gen !== generations.at(-1)?.gen) {
    generations.push({ gen: claims.gen, at: new Date(claims.iat * 1000) });
    generations = generations.slice(-SHOWN);
  }
  held = claims;
  $("claims").textContent = claims ? JSON.stringify(claims, null, 1) : "none";
  $("rotations").textContent = claims?.gen ?? 0;
  const head = generations.at(-1);
  fill($("chain"), generations, ({ gen }) => `${gen} ${gen === head.gen}`, (one) => drawGeneration(one, one.gen === head.gen));
  tick();
}

function drawGeneration({ gen, at }, isHead) {
  const name = element("b", {}, `Generation ${gen}`);
  return element("li", isHead ? { class: "head" } : {}, name, `${clock(at)} · ${isHead ? "in use" : "superseded"}`);
}

// Seconds that the access token has left. By this computer's clock, which is the server's: the demo runs on it.
export function secondsLeft() {
  return held ? Math.max(0, Math.ceil(held.exp - Date.now() / 1000)) : 0;
}

function tick() {
  const seconds = secondsLeft();
  $("seconds").textContent = held ? seconds : "–";
  $("seconds-unit").textContent = held && !seconds ? "over: the next call rotates" : "seconds left";
  $("ring").style.strokeDashoffset = held ? 100 - (100 * seconds) / (held.exp - held.iat) : 100;
  $("ring").closest(".dial").classList.toggle("over-now", Boolean(held) && !seconds);
  $("cookies").textContent = document.cookie || "(empty)";
}

setInterval(tick, 250);
