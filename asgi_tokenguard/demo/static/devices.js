// Who is signed in where: the list that the guard keeps, on a map, with a button for each.

import { $, clock, element, fill } from "./dom.js";
import { drawMap } from "./map.js";

const SHOWN = 4; // endings

let spots = [];
let thief = null;
let drawn = "";

// *end* is called with the id of the session to be ended.
export function showDevices({ sessions, ended }, end) {
  const mine = sessions.toSorted((a, b) => b.current - a.current || (a.created_at < b.created_at ? 1 : -1));
  const list = $("devices");
  const id = list.contains(document.activeElement) ? document.activeElement.dataset.session : null;
  fill(list, mine, (one) => JSON.stringify([one.id, one.ip_address, one.last_seen_at]), (one) => drawDevice(one, end));
  if (id && !list.contains(document.activeElement)) standOn(id);
  $("end-others").disabled = mine.length < 2;
  spots = mine.filter((one) => one.location).map((one) => ({ ...one.location, here: one.current }));
  redraw();
  $("endings").hidden = !ended.length;
  fill($("endings-list"), ended.slice(0, SHOWN), (one) => one.session_id + one.at, drawEnding);
}

// Whoever uses the keyboard keeps their place where a device is drawn anew, as each is that has been seen; and lands on no other
// device's button where theirs is gone.
export function standOn(id) {
  const buttons = [...$("devices").querySelectorAll("button")];
  (buttons.find(({ dataset }) => dataset.session === id) ?? $("devices-title")).focus();
}

export function showThief(place) {
  thief = place;
  redraw();
}

function redraw() {
  const towns = Object.values(Object.groupBy(spots, ({ city }) => city)).map((all) => {
    const label = all.length > 1 ? `${all[0].city} (${all.length})` : all[0].city;
    return { ...all[0], label: all.some(({ here }) => here) ? `${label}, you` : label };
  });
  if (thief) towns.push({ ...thief, label: thief.city, thief: true });
  const next = JSON.stringify(towns);
  if (next !== drawn) drawMap($("map"), towns);
  drawn = next;
}

function drawDevice(session, end) {
  const name = nameOf(session.device);
  const place = session.location ? `${session.location.city}, ${session.location.country}` : "somewhere";
  const seen = `${place} · ${session.ip_address ?? "no address"} · last seen ${clock(new Date(session.last_seen_at))}`;
  const label = `End ${name} in ${place}`;
  const button = element("button", { type: "button", class: "quiet", "data-session": session.id, "aria-label": label }, "End");
  button.onclick = () => end(session.id, name);
  const title = element("b", {}, name);
  const text = element("div", {}, element("p", {}, title), element("p", { class: "small" }, seen));
  if (session.current) title.after(" ", element("span", { class: "tag" }, "this one"));
  return element("li", session.current ? { class: "current" } : {}, text, button);
}

function drawEnding({ reason, at, holder_address, other_address, other_user_agent }) {
  const parts = [`${clock(new Date(at))} `, element("code", {}, reason)];
  if (other_address) parts.push(`: the session was at ${holder_address}, the old token came from ${other_address}, "${other_user_agent}"`);
  return element("li", {}, ...parts);
}

function nameOf(device) {
  return [device?.browser, device?.system].filter(Boolean).join(" on ") || "Unknown device";
}
