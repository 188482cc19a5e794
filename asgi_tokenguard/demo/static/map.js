// The world in dots, and who is where.

import { svg } from "./dom.js";
import { NORTH, STEP, WORLD } from "./world.js";

const LAND = WORLD.flatMap((row, y) =>
  [...row].flatMap((cell, x) => (cell === "#" ? [`M${x * STEP - 180 + STEP / 2} ${y * STEP - NORTH + STEP / 2}h0`] : [])),
).join("");

// Equirectangular: longitude and latitude as they are, the north above.
export function drawMap(host, spots) {
  const height = WORLD.length * STEP;
  const said = spots.map(({ label, thief }) => (thief ? `a thief in ${label}` : label)).join(", ");
  host.replaceChildren(
    svg(
      "svg",
      { viewBox: `-180 ${-NORTH} 360 ${height}`, role: "img", "aria-label": `Map of the world: ${said || "nobody"}` },
      svg("path", { class: "land", d: LAND }),
      ...spots.map(drawSpot),
    ),
  );
}

function drawSpot({ latitude, longitude, label, thief }) {
  const kind = thief ? " thief" : "";
  const at = { cx: longitude, cy: -latitude };
  const isEast = longitude > 100;
  // Below the others: a thief may be in the same town.
  const text = { x: longitude + (isEast ? -8 : 8), y: -latitude, dy: thief ? "1.5em" : ".35em", "text-anchor": isEast ? "end" : "start", class: "place" };
  return svg(
    "g",
    {},
    svg("circle", { ...at, r: 7, class: `halo${kind}` }),
    svg("circle", { ...at, r: 3.2, class: `spot${kind}` }),
    svg("text", text, thief ? `Thief in ${label}` : label),
  );
}
