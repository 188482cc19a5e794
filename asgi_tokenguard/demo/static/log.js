// What happened, in words; the newest last, as screen readers expect of a log.

import { $, clock, element } from "./dom.js";

const MOST = 60; // an hour of rotations at one a minute

export function note(text, kind = "") {
  const log = $("log");
  const region = log.parentElement;
  const isAtEnd = region.scrollHeight - region.scrollTop - region.clientHeight < 40;
  log.append(element("li", { class: kind }, element("time", {}, clock()), ` ${text}`));
  if (log.children.length > MOST) log.firstChild.remove();
  if (isAtEnd) region.scrollTop = region.scrollHeight; // who has scrolled back to read is left there
}
