// The few words of the DOM that the page needs. Text is only ever set as text: session lists contain what anybody may send.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const clock = (date = new Date()) => date.toLocaleTimeString("en-GB");

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// Change *list* only where what it shows has changed: screen readers and selections are left alone elsewhere.
export function fill(list, items, key, draw) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, at) => {
    const name = String(key(item));
    let child = old.get(name);
    if (child) old.delete(name);
    else {
      child = draw(item);
      child.dataset.key = name;
    }
    if (list.children[at] !== child) list.insertBefore(child, list.children[at] ?? null);
  });
  old.forEach((child) => child.remove());
}
