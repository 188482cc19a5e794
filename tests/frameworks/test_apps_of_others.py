"""Apps from PyPI as they are, wrapped by the one line and served over real HTTP."""

from __future__ import annotations

import httpx
import pytest
from support.http import serving

from asgi_tokenguard import TokenGuard, TokenGuardMiddleware


@pytest.fixture
def datasette():
    from datasette.app import Datasette

    return Datasette(memory=True).app()


@pytest.fixture
async def token(options):
    async with TokenGuard(**options) as guard:
        return (await guard.login("user-1")).access_token


def test_datasette_is_for_who_has_a_session(datasette, options, token):
    with (
        serving(TokenGuardMiddleware(datasette, **options, public=["/-/static/*"])) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert (401, "token_required") == (
            (refused := client.get("/_memory.json?sql=select+1")).status_code,
            refused.json()["code"],
        )
        assert 200 == client.get("/-/static/app.css").status_code
        with_token = {"Authorization": f"Bearer {token}"}
        found = client.get("/_memory.json?sql=select+6*7+as+answer&_shape=array", headers=with_token)
        assert [{"answer": 42}] == found.json()
        page = client.get("/", headers=with_token)
        assert (200, True) == (page.status_code, "Datasette" in page.text)


@pytest.fixture
def tools():
    """An MCP server, which needs its lifespan and streams its answers."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("sums")

    @server.tool()
    def add(first: int, second: int) -> int:
        return first + second

    return server.streamable_http_app()


async def test_an_mcp_server_is_for_who_has_a_session(tools, options, token):
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    with serving(TokenGuardMiddleware(tools, **options)) as url:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as with_token,
            Client(streamable_http_client(f"{url}/mcp", http_client=with_token)) as client,
        ):
            assert ["add"] == [tool.name for tool in (await client.list_tools()).tools]
            assert {"result": 42} == (await client.call_tool("add", {"first": 40, "second": 2})).structured_content
        refused = httpx.post(f"{url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert (401, "token_required") == (refused.status_code, refused.json()["code"])
