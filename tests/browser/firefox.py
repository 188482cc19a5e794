"""
Stock Firefox over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), spoken by hand.

Playwright drives only a Firefox of its own making, and Debian packages no geckodriver; the protocol is JSON over a WebSocket.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from browser.house import PATIENCE
from support.needs import need_browser
from websockets.asyncio.client import ClientConnection, connect

# What a browser does for itself, and not for the page, is left out: it would ask the network.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


class ScriptError(Exception):
    """What a script in a page raised."""


class Firefox:
    """One process of Firefox, and the connection to it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def call(self, method: str, **params: Any) -> Any:
        """Send a command; raises `RuntimeError` where Firefox cannot carry it out."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(2 * PATIENCE):
            return await answer

    async def _read(self) -> None:
        async for text in self._connection:
            message = json.loads(text)
            waiting = self._waiting.pop(message.get("id"), None)
            if waiting is None:  # an event, and none was asked for
                continue
            if message["type"] == "success":
                waiting.set_result(message["result"])
            else:
                waiting.set_exception(RuntimeError(f"{message['error']}: {message['message']}"))

    async def user(self) -> FirefoxUser:
        """Somebody with a cookie jar of their own."""
        return FirefoxUser(self, (await self.call("browser.createUserContext"))["userContext"])

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


class FirefoxUser:
    """A cookie jar and its tabs."""

    def __init__(self, firefox: Firefox, name: str) -> None:
        self.firefox, self.name = firefox, name

    async def tab(self, url: str | None = None) -> FirefoxTab:
        made = await self.firefox.call("browsingContext.create", type="tab", userContext=self.name)
        tab = FirefoxTab(self, made["context"])
        if url is not None:
            await tab.goto(url)
        return tab

    async def cookies(self) -> dict[str, dict[str, Any]]:
        """As the browser keeps them, by name."""
        partition = {"type": "storageKey", "userContext": self.name}
        found = await self.firefox.call("storage.getCookies", partition=partition)
        return {cookie["name"]: cookie for cookie in found["cookies"]}

    async def close(self) -> None:
        await self.firefox.call("browser.removeUserContext", userContext=self.name)


class FirefoxTab:
    """A tab; scripts are given and answer with JSON, as Playwright's do."""

    def __init__(self, user: FirefoxUser, context: str) -> None:
        self.user, self.context, self._call = user, context, user.firefox.call

    async def goto(self, url: str) -> None:
        await self._call("browsingContext.navigate", context=self.context, url=url, wait="complete")

    async def reload(self) -> None:
        await self._call("browsingContext.reload", context=self.context, wait="complete")

    async def back(self) -> None:
        await self._call("browsingContext.traverseHistory", context=self.context, delta=-1)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What *script* evaluates to, once it is settled; where that is a function, what it returns for *argument*."""
        body = f"""async text => {{
          let value = ({script});
          if (typeof value === "function") value = value(JSON.parse(text));
          return JSON.stringify(await value) ?? "null";
        }}"""
        found = await self._call(
            "script.callFunction",
            functionDeclaration=body,
            arguments=[{"type": "string", "value": json.dumps(argument)}],
            target={"context": self.context},
            awaitPromise=True,
        )
        if found["type"] != "success":
            raise ScriptError(found["exceptionDetails"]["text"])
        return json.loads(found["result"]["value"])


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """Firefox with a new profile, until the block ends."""
    command = need_browser("firefox")
    with tempfile.TemporaryDirectory(prefix="tgf", ignore_cleanup_errors=True) as folder:
        write_preferences(Path(folder))
        process = await asyncio.create_subprocess_exec(
            command, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0",
            env=os.environ | {"HOME": folder}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        # All that it says is read: it would stop at a pipe that is full.
        said = _Said(process.stderr)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                address = await said.address
            async with connect(f"{address}/session", max_size=None, open_timeout=PATIENCE) as connection:
                browser = Firefox(connection)
                await browser.call("session.new", capabilities={})
                yield browser
                await browser.close()
        finally:
            process.kill()
            await process.wait()
            said.reading.cancel()
            await asyncio.gather(said.reading, return_exceptions=True)


def write_preferences(profile: Path) -> None:
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))


class _Said:
    """What a Firefox says of itself: where it listens, and no word more is kept."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._lines:
            if (found := LISTENING.search(line)) is not None and not self.address.done():
                self.address.set_result(found[1].decode())
        if not self.address.done():
            self.address.set_exception(RuntimeError("Firefox did not start"))
