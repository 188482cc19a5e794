"""One app of someone else in each framework: it knows nothing of a guard, and answers in every way that a framework has."""

# No `from __future__ import annotations`: frameworks look the names of annotations up, and these are local.

from collections.abc import AsyncIterator
from typing import Any

BODY = b"as it came, " * 9000  # more than one chunk
HEADERS = {"Set-Cookie": "theme=dark; Path=/", "Cache-Control": "max-age=60", "ETag": '"1"', "X-Own": "yes"}


async def chunks() -> AsyncIterator[bytes]:
    for letter in (b"a", b"b", b"c"):
        yield letter


def bare() -> Any:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, answer = {"/text": (200, b"text"), "/echo": (200, body), "/stream": (200, b"abc")}.get(
            scope["path"], (404, b"")
        )
        if scope["path"] == "/broken":
            raise RuntimeError("a bug of the app")
        headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in (answer[:1], answer[1:]):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    return app


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def echo(request: Any) -> Any:
        return Response(await request.body())

    async def broken(request: Any) -> Any:
        raise RuntimeError("a bug of the app")

    return Starlette(
        routes=[
            Route("/text", lambda request: PlainTextResponse("text", headers=HEADERS)),
            Route("/stream", lambda request: StreamingResponse(chunks())),
            Route("/redirect", lambda request: RedirectResponse("/text")),
            Route("/echo", echo, methods=["POST"]),
            Route("/broken", broken),
        ]
    )


def fastapi() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

    app = FastAPI()

    @app.get("/text")
    async def text() -> PlainTextResponse:
        return PlainTextResponse("text", headers=HEADERS)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(chunks())

    @app.get("/redirect")
    def redirect() -> RedirectResponse:
        return RedirectResponse("/text")

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a bug of the app")

    return app


def litestar() -> Any:
    from litestar import Litestar, Request, Response, get, post
    from litestar.response import Redirect, Stream

    @get("/text")
    async def text() -> Response[str]:
        return Response("text", headers=HEADERS, media_type="text/plain")

    @get("/stream")
    async def stream() -> Stream:
        return Stream(chunks)

    @get("/redirect", sync_to_thread=True)
    def redirect() -> Redirect:
        return Redirect("/text")

    @post("/echo", status_code=200)
    async def echo(request: Request[Any, Any, Any]) -> bytes:
        return await request.body()

    @get("/broken")
    async def broken() -> None:
        raise RuntimeError("a bug of the app")

    return Litestar([text, stream, redirect, echo, broken], logging_config=None)


def quart() -> Any:
    from quart import Quart, redirect, request

    app = Quart(__name__)

    @app.get("/text")
    async def text() -> Any:
        return "text", 200, HEADERS

    @app.get("/stream")
    async def stream() -> Any:
        return chunks(), 200

    @app.get("/redirect")
    def elsewhere() -> Any:
        return redirect("/text")

    @app.post("/echo")
    async def echo() -> Any:
        return await request.get_data()

    @app.get("/broken")
    async def broken() -> Any:
        raise RuntimeError("a bug of the app")

    return app


def django() -> Any:
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
    from django.urls import path

    from support import django_project

    def broken(request: Any) -> Any:
        raise RuntimeError("a bug of the app")

    async def stream(request: Any) -> Any:
        return StreamingHttpResponse(chunks())

    django_project.settings.ROOT_URLCONF = (
        path("text", lambda request: HttpResponse("text", headers=HEADERS)),
        path("stream", stream),
        path("redirect", lambda request: HttpResponseRedirect("/text")),
        path("echo", lambda request: HttpResponse(request.body)),
        path("broken", broken),
    )
    return get_asgi_application()


APPS = [bare, starlette, fastapi, litestar, quart, django]
