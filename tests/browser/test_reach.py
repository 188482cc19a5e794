"""Where the access token goes, and where it never does."""

from __future__ import annotations

import pytest
from browser.pages import ask, eventually, signed_in_app, tab
from browser.test_cookies import NOTHING, STORED
from support.forge import altered, claims_of, sign
from support.stage import answer

pytestmark = [pytest.mark.thorough, pytest.mark.asyncio(loop_scope="session")]

# Everything that a script of the page can walk to from its globals, the last match of a regular expression included; but not
# the call that is there to tell.
SEEK = """token => {
  const seen = new Set([document]), found = [];
  const walk = (value, path) => {
    if (typeof value === "string") return value.includes(token) && found.push(path);
    if ((typeof value !== "object" && typeof value !== "function") || !value || seen.has(value) || path.length > 8) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      let next;
      try { next = value[key]; } catch { continue; }
      walk(next, [...path, String(key)]);
    }
  };
  walk(window, []);
  return {found, walked: seen.size, entries: JSON.stringify(performance.getEntries()).includes(token),
          page: document.documentElement.outerHTML.includes(token)};
}"""
LISTEN = """name => {
  window.overheard = [];
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({data}) => overheard.push(data);
  channel.postMessage({ask: true});
}"""


async def test_no_store_of_the_browser_holds_the_token(context, house):
    page = await signed_in_app(context, house)
    house.let_access_expire()
    assert (200, True) == ((answered := await ask(page)).status, answered.token)
    assert NOTHING == await page.evaluate(STORED)


async def test_no_path_of_the_page_leads_to_the_token(context, house):
    page = await signed_in_app(context, house)
    token = (await page.evaluate("client.authorization()")).removeprefix("Bearer ")
    found = await page.evaluate(SEEK, token)
    assert found["walked"] > 1000
    assert ([], False, False) == (found["found"], found["entries"], found["page"])
    # And it would be found, were it there.
    await page.evaluate("token => { window.leak = {deep: [token]} }", token)
    assert [["leak", "deep", "0"]] == (await page.evaluate(SEEK, token))["found"]


@pytest.mark.parametrize("where", ["far", "near"])
async def test_pages_of_others_overhear_nothing(context, house, attacker, where):
    """
    A channel of the same name, on another site and on another origin of the same one.
    """
    page = await signed_in_app(context, house)
    evil = await tab(context, getattr(attacker, where))
    own = await tab(context, house.url)
    name = f"tokenguard {house.url}"
    await evil.evaluate(LISTEN, name)
    await own.evaluate(LISTEN, name)
    house.let_access_expire()
    assert 200 == (await ask(page)).status
    # A page of the own origin does hear it, by which time the other one would have, too.
    await eventually(lambda: own.evaluate("overheard.some(each => each.token)"))
    assert [] == await evil.evaluate("overheard")


PUT = "([name, data]) => new BroadcastChannel(name).postMessage(data)"


async def test_what_is_no_token_changes_nothing_on_the_channel(context, house):
    page = await signed_in_app(context, house)
    before = await page.evaluate("client.state")
    rogue = await tab(context, house.url)
    token = (await page.evaluate("client.authorization()")).removeprefix("Bearer ")
    later = claims_of(token) | {"gen": 7}
    tokens = [
        "a.b.c",
        sign({"alg": "HS256"}, later, house.options["secret"]),  # of no type, and of another one
        sign({"alg": "HS256", "typ": "rt+jwt"}, later, house.options["secret"]),
        altered(token, house.options["secret"], sid="zzz"),
        altered(token, house.options["secret"], gen="7"),
        altered(token, house.options["secret"], jti=None),
        f"{altered(token, house.options['secret'], gen=7)}\r\nX: y",
        {},
        7,
    ]
    await page.evaluate(LISTEN, f"tokenguard {house.url}")
    garbage = [None, 7, "token", {"ended": "x", "code": "revoked"}, {"ended": later["sid"], "code": "no code of ours"}]
    for each in [*garbage, *({"token": each} for each in tokens)]:
        await rogue.evaluate(PUT, [f"tokenguard {house.url}", each])
    await rogue.evaluate(PUT, [f"tokenguard {house.url}", "the last one"])
    await eventually(lambda: page.evaluate("overheard.includes('the last one')"))
    assert (200, False) == ((answered := await ask(page)).status, answered.token)
    assert (before, []) == (await page.evaluate("client.state"), await page.evaluate("signedOut"))


async def test_a_forged_token_on_the_channel_signs_nobody_out(context, house):
    """
    It looks later than any that the guard makes.  The server refuses it, and the client goes on with the cookie.
    """
    page = await signed_in_app(context, house)
    token = (await page.evaluate("client.authorization()")).removeprefix("Bearer ")
    rogue = await tab(context, house.url)
    forged = altered(token, "a secret of another thirty-two bytes and more", sid="7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    await rogue.evaluate(PUT, [f"tokenguard {house.url}", {"token": forged}])
    await eventually(lambda: page.evaluate("client.state.claims.sid.startsWith('7')"))
    assert "user-1" == (await ask(page)).body["subject"]
    assert claims_of(token)["sid"] == await page.evaluate("client.state.claims.sid")
    assert ([], 0) == (await page.evaluate("signedOut"), house.rotations())


async def test_calls_to_others_carry_no_token(context, house, attacker):
    """
    The client hands them on to the page's own `fetch`, as they came.
    """
    await signed_in_app(context, house)
    page = await tab(context, f"{house.url}/open/free/app")
    await page.evaluate("loaded")
    urls = [f"{attacker.far}/far", f"{attacker.near}/near", attacker.near.removeprefix("http:") + "/scheme"]
    for url in urls:
        assert 200 == await page.evaluate("url => client.fetch(url).then(answer => answer.status)", url)
        assert 200 == await page.evaluate("url => client.fetch(new Request(url)).then(answer => answer.status)", url)
    caught = [each for each in attacker.caught if each.path in {"/far", "/near", "/scheme"}]
    assert 2 * len(urls) == len(caught)
    assert [] == [each.path for each in caught if "authorization" in each.sent]
    await page.evaluate("url => new Promise(done => { client.openWebSocket(url).onclose = done })", f"{attacker.near}/socket")
    (handshake,) = [each for each in attacker.caught if each.path == "/socket"]
    assert "sec-websocket-protocol" not in handshake.sent
    # Their page may name itself the base of all addresses (a <base> that got into ours).
    await page.evaluate(
        "url => document.head.append(Object.assign(document.createElement('base'), {href: url}))", attacker.near
    )
    await page.evaluate("client.fetch('/based')")
    (based,) = [each for each in attacker.caught if each.path == "/based"]
    assert "authorization" not in based.sent


@pytest.mark.parametrize("where", ["far", "near"])
async def test_a_redirect_to_others_takes_no_token_along(context, house, attacker, where):
    async def redirect(scope, receive, send):
        await answer(send, 307, headers=[(b"location", f"{getattr(attacker, where)}/redirected".encode())])

    house.handlers.by_path["/leads-away"] = redirect
    await signed_in_app(context, house)
    page = await tab(context, f"{house.url}/open/free/app")
    assert 200 == (await page.evaluate("loaded"))["status"]
    assert "TypeError" == await page.evaluate("client.fetch('/leads-away').then(() => 'followed', error => error.name)")
    assert 1 == house.handlers.calls["/leads-away"]
    assert [] == [each.path for each in attacker.caught if each.path == "/redirected"]
