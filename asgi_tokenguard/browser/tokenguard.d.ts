// The browser's side of asgi_tokenguard (MIT). How to use it: docs/browser.md.

/** What an access token says. Not verified: for the page's own use, never a proof of anything. */
export interface Claims {
  /** The user. */
  readonly sub: string;
  /** The session, which is the token family: stable over rotations. */
  readonly sid: string;
  /** How often the session has rotated. */
  readonly gen: number;
  /** The id of this token. */
  readonly jti: string;
  /** When it was made and when it is over: seconds since 1970, on the server's clock. */
  readonly iat: number;
  readonly exp: number;
  /** When the user has logged in or confirmed who they are, likewise. */
  readonly auth_time: number;
  /** What the app has given to `login(subject, claims)`. */
  readonly [name: string]: unknown;
}

/** How this tab stands. */
export interface State {
  /** null until an answer, or another tab, has told. */
  readonly signedIn: boolean | null;
  /** Of the token that is held; null without one. */
  readonly claims: Claims | null;
  /** How many rotations of this session the tab has seen, its own and those of other tabs. */
  readonly rotations: number;
}

/** What the guard has refused. */
export interface Refusal {
  /** Stable, such as `"revoked"`; all are listed in docs/options.md. */
  readonly code: string;
  /** A sentence for people; missing where another tab or a WebSocket has told. */
  readonly detail?: string;
}

export interface StepUp extends Refusal {
  /** The call that asks for it. */
  readonly url: string;
}

export interface SignedOut extends Refusal {
  /** Whether this tab was refused or has logged out itself; false where another one has told. */
  readonly here: boolean;
}

export interface Options {
  /**
   * Where the API is. The token goes to this origin (scheme, host, port) and nowhere else, and relative addresses are resolved
   * against it. Default: the page's own origin, addresses as ever.
   */
  baseURL?: string | URL;
  /** `access_header` of the guard. Default: `"Authorization: Bearer"`. */
  header?: string;
  /** `new_token_header` of the guard. Default: `"X-New-Access-Token"`. */
  newTokenHeader?: string;
  /** `endpoints` of the guard, for `logout()` and `refresh()`. Default: `"/auth"`. */
  endpoints?: string;
  /**
   * A call needs a fresh proof of who the user is. Ask for it (the password, say), send it to a route that calls
   * `reauthenticated()`, and return: the call is repeated once. Return false and the caller gets the 401; throw, and the caller
   * gets that. Calls that are refused meanwhile wait for the same dialog, but for those that began while it was open. A body
   * that is a `ReadableStream` cannot be sent twice: its caller gets the 401, and nobody is asked.
   */
  onStepUp?: (challenge: StepUp) => unknown;
  /** The session is over, or there is none: once in each tab, until the next token. */
  onSignedOut?: (refusal: SignedOut) => void;
  /** What sends the requests. Default: the page's `fetch`, as it is when the client is created. */
  fetch?: typeof fetch;
  /** Under which name tabs find each other; false to keep to oneself. Default: `"tokenguard"`. */
  channel?: string | false;
  /** How long, in milliseconds, calls without a token wait for the first one. Default: 2000. */
  patience?: number;
  /** How long after its creation, in milliseconds, the first call waits for the token of another tab. Default: 50. */
  tabPatience?: number;
}

export interface Client {
  /**
   * Takes what the page's `fetch` takes. Calls to other origins, with `credentials: "omit"` or with an access header of their
   * own are left alone. Redirects never lead to another origin, and an API on another origin than the page may not redirect.
   */
  readonly fetch: typeof fetch;
  /** A WebSocket that brings the token; without one, or to another origin, a plain one. */
  openWebSocket(url: string | URL, protocols?: string | string[]): WebSocket;
  /** Log out, here and in all tabs. *url*: a route of your own instead of the endpoint. Rejects where the server did not. */
  logout(url?: string): Promise<void>;
  /** Make sure of a token before the first call; whether there is one. */
  refresh(): Promise<boolean>;
  /** The value of the access header, for what is not `fetch` (an upload by XMLHttpRequest); null without a token. */
  authorization(): string | null;
  /** Call *listener* after each change; returns what ends that. */
  subscribe(listener: (state: State) => void): () => void;
  readonly state: State;
  /** Forget the token and leave the other tabs. */
  close(): void;
}

/** One for a page: it holds the access token in a variable, and in no storage. */
export function createClient(options?: Options): Client;
