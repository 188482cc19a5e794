// The browser's side of asgi_tokenguard (MIT). What it promises is in tokenguard.d.ts and docs/browser.md.
// Served without the lines that are comments; one at the end of a line would be sent.

// The guard's codes for a session that is over, whose token was sent or whose cookie came along ...
const OVER =
  "session_expired session_ended reuse_detected rolled_back_client cookie_not_stored logged_out revoked replaced".split(" ");
// ... and for a request that showed none which counts. That says nothing about other tabs.
const NONE = "token_required token_expired invalid_token session_mismatch".split(" ");
const ULID = /^[0-7][\dA-HJKMNP-TV-Z]{25}$/;

// A token, read and not verified: the server does that. It has to be well-formed, since a channel or a cache may bring
// anything, and what no header can hold would make every call fail.
// Tokens are in order by `rank`: the later session (ULIDs sort by time), in it the higher generation, in that the later token.
// So an answer that was overtaken, or comes out of a cache, changes nothing.
// 1e15: sixteen digits for every generation that there can be, so that texts compare as the numbers do.
function read(text) {
  try {
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return null;
    const [{ typ }, claims] = text.split(".", 2).map((part) => {
      const bytes = atob(part.replace(/-/g, "+").replace(/_/g, "/"));
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
    });
    const { sid, gen, jti } = claims;
    if (typ !== "at+jwt" || !ULID.test(sid) || !ULID.test(jti) || !Number.isSafeInteger(gen)) return null;
    return { text, claims: Object.freeze(claims), rank: sid + `${1e15 + gen}` + jti };
  } catch {
    return null;
  }
}

export function createClient({
  baseURL,
  header = "Authorization: Bearer",
  newTokenHeader = "X-New-Access-Token",
  endpoints = "/auth",
  onStepUp,
  onSignedOut,
  fetch: send = globalThis.fetch,
  channel = "tokenguard",
  patience = 2000,
  tabPatience = 50,
} = {}) {
  const { location, document, addEventListener } = globalThis;
  // Not `document.baseURI`: a <base> of another origin would send the token there.
  const api = new URL(baseURL ?? location.href, location?.href);
  const isLocal = api.origin === location?.origin;
  const [field, scheme] = header.split(/:\s*/);
  const listeners = new Set();
  // The one copy of the token, as `read` returns it, and what the page may know of it.
  let held, state;
  // What `held` was when the page was told that it is signed out.
  let told;
  // Whose answers this page has seen last, and which session has ended last.
  let user, ended;
  let rotations = 0;
  // The call that fetches a token for all; after the first answer nobody waits any more.
  let first;
  let isNew = true;
  // The step-up under way, and how many there were.
  let asking, proofs = 0;
  let bus, heard;
  const tabs = new Promise((resolve) => (heard = resolve));

  const resolve = (url) => new URL(url, baseURL ? api : document?.baseURI ?? api);
  // Not by `origin`, which a blob: has as well.
  const isOurs = (url) => url.protocol === api.protocol && url.host === api.host;
  const authorization = () => held && (scheme ? `${scheme} ${held.text}` : held.text);

  function hold(next) {
    held = next;
    state = Object.freeze({ signedIn: told === held ? false : held && true, rotations, claims: held && held.claims });
    // In tasks of their own: what fails in a page's listener is not the failure of a call.
    listeners.forEach((listener) => queueMicrotask(() => listener(state)));
  }

  function take(text, fromTab) {
    const found = read(text);
    if (!found || found.claims.sid === ended || (held && found.rank <= held.rank)) return;
    const { sub, sid, gen } = found.claims;
    // What happens in another tab never makes this one another user's.
    if (fromTab && user !== undefined && user !== sub) return;
    rotations = held?.claims.sid === sid ? rotations + gen - held.claims.gen : 0;
    told = undefined;
    if (!fromTab) {
      user = sub;
      bus?.postMessage({ token: text });
    }
    hold(found);
  }

  function signedOut(code, detail, here = false) {
    if (held && OVER.includes(code)) {
      ended = held.claims.sid;
      if (here) bus?.postMessage({ ended, code });
    }
    // Another user has signed in: as long as the old token is sent, the server refuses what this page was made for.
    told = code === "session_mismatch" ? held : null;
    hold(told);
    if (onSignedOut) queueMicrotask(() => onSignedOut({ code, detail, here }));
  }

  // A refusal counts for what was sent: a late one of an old session does not end a newer one.
  function refused({ code, detail }, sent) {
    const counts = OVER.includes(code) ? sent?.claims.sid === held?.claims.sid : NONE.includes(code) && sent === held;
    if (counts && told !== held) signedOut(code, detail, true);
  }

  // What the guard has refused; {} for all else, an app's own 401 above all. Across origins its challenge cannot be read.
  async function refusalIn(response) {
    const says = (name, what) => what.test(response.headers.get(name));
    if (response.status !== 401 || !says("content-type", /^application\/json/i)) return {};
    if (isLocal && !says("www-authenticate", /^bearer/i)) return {};
    return (await response.clone().json().catch(() => null)) ?? {};
  }

  function hear({ data }) {
    if (data?.ask && held && told !== held) bus.postMessage({ token: held.text });
    if (data?.token) take(data.token, true);
    if (held && data?.ended === held.claims.sid && OVER.includes(data.code)) signedOut(data.code);
    if (held) heard();
  }

  function listen() {
    if (!channel) return heard();
    try {
      bus = new BroadcastChannel(`${channel} ${api.origin}`);
    } catch {
      // Firefox refuses it where cookies are blocked; some places have none.
      return heard();
    }
    bus.onmessage = hear;
    bus.postMessage({ ask: true });
  }

  function hush() {
    bus?.close();
    bus = null;
  }

  // Whether to repeat what met a challenge. `began` is what `asking` was when the call began, `before` what `proofs` was when
  // it was sent.
  function isConfirmed(challenge, began, before) {
    if (before !== proofs) return true;
    // What began inside the dialog would wait for itself.
    if (!onStepUp || (asking && asking === began)) return false;
    // `onStepUp` is called once `asking` is set, or its own calls would not know where they began.
    asking ??= Promise.resolve(challenge)
      .then(onStepUp)
      .then((answer) => answer !== false && ++proofs)
      .finally(() => (asking = null));
    return asking;
  }

  // Something else than false, so that an aborted call goes on to `fetch`, which says so in its own words.
  const aborted = (signal) =>
    new Promise((go) => {
      if (signal.aborted) go(true);
      signal.addEventListener("abort", go);
    });

  // Waits until a call without a token may go. What the first of them is given lets the others go.
  async function turn(signal) {
    await tabs;
    if (held || !isNew) return;
    if (first) return void (await Promise.race([first, aborted(signal), new Promise((go) => setTimeout(go, patience))]));
    let release;
    first = new Promise((resolve) => (release = resolve));
    return () => (first = release());
  }

  // No redirect takes the token along: in this mode it fails where it leads away, and another origin's API may not redirect.
  function rules({ method, redirect, referrer, referrerPolicy }) {
    // By the Fetch standard a page with `no-referrer` would say `Origin: null` then, which the guard refuses.
    if (isLocal && !/^(GET|HEAD)$/.test(method)) referrerPolicy = "strict-origin";
    const away = { mode: "cors", credentials: "include", redirect: redirect === "manual" ? redirect : "error" };
    return { ...(isLocal ? { mode: "same-origin" } : away), referrer, referrerPolicy };
  }

  // One sending. Beside its answer: whether it was refused for a token that is of no use, and the challenge that it met.
  async function exchange(plain, release) {
    const sent = held;
    let response;
    try {
      const request = new Request(plain, rules(plain));
      if (sent) request.headers.set(field, authorization());
      response = await send(request);
      isNew = false;
      take(response.headers.get(newTokenHeader));
    } finally {
      if (release) release();
    }
    const refusal = await refusalIn(response);
    const { code } = refusal;
    if (response.status !== 401) user = sent?.claims.sub ?? user;
    // A token that no server gave us (it was put on the channel or into a cache), or another tab's for a user whom this page
    // has never seen. Without it the cookie decides.
    const isUseless = sent && (code === "invalid_token" || (code === "session_mismatch" && sent.claims.sub !== user));
    if (!isUseless) refused(refusal, sent);
    else if (held === sent) hold(null);
    return [response, isUseless, code === "step_up_required" && { ...refusal, url: plain.url }];
  }

  async function call(input, init) {
    const url = resolve(input.url ?? input);
    if (!isOurs(url)) return send(input.url ? input : url.href, init);
    const make = () => new Request(input.url ? input.clone() : url.href, init);
    const plain = make();
    if (plain.headers.has(field) || plain.credentials === "omit") return send(plain);
    const began = asking;
    // What outlives its page may be the last that the page does.
    const release = !held && !plain.keepalive && (await turn(plain.signal));
    const before = proofs;
    const [response, isUseless, challenge] = await exchange(plain, release);
    // A stream can be sent once.
    if (init?.body instanceof ReadableStream) return response;
    const confirmed = challenge && (await Promise.race([isConfirmed(challenge, began, before), aborted(plain.signal)]));
    if (!isUseless && !confirmed) return response;
    return (await exchange(make()))[0];
  }

  async function logout(url = `${endpoints}/logout`) {
    const sent = held;
    const response = await call(url, { method: "POST" });
    if (!response.ok) throw new Error(`not logged out: ${response.status}`, { cause: response });
    refused({ code: "logged_out" }, sent ?? held);
  }

  async function refresh() {
    await call(`${endpoints}/refresh`, { method: "POST" });
    return !!held;
  }

  function openWebSocket(url, protocols = []) {
    const at = new URL(resolve(url).href.replace(/^ws/, "http"));
    const ours = isOurs(at);
    const sent = ours ? held : null;
    const socket = new WebSocket(at.href.replace("http", "ws"), sent ? ["tokenguard", sent.text].concat(protocols) : protocols);
    socket.addEventListener("close", ({ code, reason }) => {
      if (!ours || code !== 4401 || !OVER.includes(reason)) return;
      // Opened on the cookie: the server knows whose session that was.
      sent ? refused({ code: reason }, sent) : refresh().catch(() => {});
    });
    return socket;
  }

  function close() {
    channel = false;
    hush();
    listeners.clear();
    hold(null);
    // Nor what calls under way will bring.
    take = () => {};
  }

  hold(null);
  setTimeout(heard, tabPatience);
  listen();
  // An open channel can keep a page out of the back-forward cache. Back from there it asks for what it has missed, the server
  // as well: a session may have ended whose pages are all gone, and what is on the screen would be for anybody to see.
  addEventListener?.("pagehide", hush);
  addEventListener?.("pageshow", ({ persisted }) => {
    if (!persisted) return;
    listen();
    if (held) refresh().catch(() => {});
  });

  return {
    fetch: call,
    openWebSocket,
    logout,
    refresh,
    authorization,
    subscribe: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    get state() {
      return state;
    },
    close,
  };
}
