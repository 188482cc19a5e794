// What the types allow and what they refuse: compiled, never run.
import { createClient, type Client, type SignedOut, type State } from "asgi-tokenguard";

const client: Client = createClient({
  baseURL: new URL("https://api.example/"),
  header: "X-Token",
  newTokenHeader: "X-New-Token",
  endpoints: "/sessions",
  onStepUp: async ({ code, detail, url }) => `${code} ${detail ?? ""} ${url}`.length > 0,
  onSignedOut: ({ here }: SignedOut) => console.log(here),
  fetch: globalThis.fetch,
  channel: false,
  patience: 1000,
  tabPatience: 0,
});
const dropIn: typeof fetch = client.fetch;
const socket: WebSocket = client.openWebSocket("/chat", ["chat.v1"]);
const leave: () => void = client.subscribe(({ signedIn, claims, rotations }: State) => {
  if (signedIn && claims) console.log(claims.sub, claims.exp * 1000, rotations);
});
const header: string | null = client.authorization();
const done: Promise<void> = client.logout("/logout");
const ready: Promise<boolean> = client.refresh();
createClient();
client.close();
console.log(dropIn, socket, leave, header, done, ready);

// @ts-expect-error: there is no such option
createClient({ baseUrl: "/" });
// @ts-expect-error: a name or false
createClient({ channel: true });
// @ts-expect-error: the state is not the page's to change
client.state.signedIn = true;
// @ts-expect-error: the app's claims may be anything
const role: string = client.state.claims!.role;
