// A browser as far as the client can tell: one cookie jar, tabs, and what browsers say of themselves, over real HTTP to a real
// server. Node's own `fetch` keeps no cookies and half-sends Fetch Metadata, which the guard takes for a caller that can keep
// nothing.
import { randomUUID } from "node:crypto";
import { writeFileSync, mkdtempSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers";
import { pathToFileURL } from "node:url";

export const BASE = process.env.BASE;
export const ELSEWHERE = process.env.ELSEWHERE;

// What is tested is what is served.
const served = await fetch(`${BASE}/auth/client.js`);
const file = join(mkdtempSync(join(tmpdir(), "client-")), "client.mjs");
writeFileSync(file, await served.text());
export const { createClient } = await import(pathToFileURL(file));

// Pages go while their timers run, and so does Node; what waits in a test takes its own timers.
globalThis.setTimeout = (...args) => setTimeout(...args).unref();
// The page that all tabs show, unless a test makes it another.
globalThis.location = new URL("/page", BASE);

// The world's own controls, which no guard stands before.
export async function world(what, query = {}) {
  return (await fetch(`${BASE}/test/${what}?${new URLSearchParams(query)}`)).json();
}

// Resolves once `done()` is true; fails after 30 s, which is much for two loaded cores.
export async function until(done) {
  for (let tries = 0; tries < 3000; tries++) {
    if (await done()) return;
    await pause(10);
  }
  throw new Error(`never: ${done}`);
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Browser {
  constructor() {
    this.jar = new Map();
    this.name = randomUUID();
    this.tabs = [];
  }

  // A page with a client of its own; tabs of one browser hear each other, as those of one origin do.
  tab(options = {}) {
    const told = [];
    // What a limit is for gives one of its own; in all else none may be what ends the waiting.
    const defaults = { fetch: this.fetch, channel: this.name, patience: 600_000, tabPatience: 1, onSignedOut: (why) => told.push(why) };
    const client = createClient({ ...defaults, ...options });
    this.tabs.push(client);
    return Object.assign(Object.create(client), { told });
  }

  async signedIn(user = this.name, options = {}) {
    const tab = this.tab(options);
    const answer = await tab.fetch(`/login?user=${user}`, { method: "POST" });
    if (answer.status !== 200) throw new Error(`the login was answered ${answer.status}: ${await answer.text()}`);
    return tab;
  }

  close() {
    this.tabs.forEach((tab) => tab.close());
  }

  get cookies() {
    return [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  fetch = async (input, init) => {
    const request = new Request(input, init);
    const body = request.body && Buffer.from(await request.arrayBuffer());
    let url = new URL(request.url);
    for (let hops = 0; hops < 5; hops++) {
      const answer = await this.send(url, request, body);
      const where = answer.headers.get("location");
      if (answer.status !== 307 || request.redirect === "manual") return answer;
      if (request.redirect === "error") throw new TypeError("redirect mode is set to error");
      url = new URL(where, url);
      if (request.mode === "same-origin" && url.origin !== location.origin) throw new TypeError("not of this origin");
    }
    throw new TypeError("too many redirects");
  };

  send(url, request, body) {
    const isOwn = url.origin === location.origin;
    const headers = {
      ...Object.fromEntries(request.headers),
      "sec-fetch-site": isOwn ? "same-origin" : "cross-site",
      "sec-fetch-mode": request.mode,
      "sec-fetch-dest": "empty",
    };
    // The Fetch standard, "append a request Origin header".
    const isSafe = ["GET", "HEAD"].includes(request.method);
    if (!isOwn || !isSafe) headers.origin = location.origin;
    if (this.cookies && request.credentials !== "omit" && (isOwn || request.credentials === "include")) headers.cookie = this.cookies;
    return new Promise((resolve, reject) => {
      const sent = http.request(url, { method: request.method, headers, signal: request.signal }, (answer) => {
        const parts = [];
        for (const line of answer.headers["set-cookie"] ?? []) this.store(line);
        answer.on("data", (part) => parts.push(part));
        answer.on("end", () => {
          const whole = [204, 304].includes(answer.statusCode) ? null : Buffer.concat(parts);
          const { "set-cookie": _, ...kept } = answer.headers;
          resolve(new Response(whole, { status: answer.statusCode, headers: kept }));
        });
      });
      sent.on("error", (error) => reject(request.signal.aborted ? request.signal.reason : error));
      sent.end(body ?? undefined);
    });
  }

  store(line) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (/max-age=0/i.test(line)) this.jar.delete(name);
    else this.jar.set(name, value);
  }
}

// The claims of the token that a request has brought.
export function sent({ headers }) {
  const token = headers.authorization?.replace("Bearer ", "");
  return token ? JSON.parse(Buffer.from(token.split(".")[1], "base64url")) : null;
}

// A token as the guard writes them, but for its signature.
export function forged(claims, typ = "at+jwt") {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const whole = { sub: "mallory", sid: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", gen: 0, jti: "01HF7YAT00C1NP6X5D30R30C9M", iat: 1, exp: 9e9 };
  return `${part({ alg: "HS256", kid: "x", typ })}.${part({ ...whole, ...claims })}.AAAA`;
}
