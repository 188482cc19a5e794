"""
Where a document is sent that would be answered 401: to the page where its user signs in, or proves once more who they are.

Rule: only a navigation that reads is sent anywhere.  A script could make nothing of a page, and a form that was sent would lose
its fields, or come back as a GET that does something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from asgi_tokenguard.asgi import credentials
from asgi_tokenguard.core.callers import Kind, kind
from asgi_tokenguard.core.local_urls import is_local, local_url, next_in, with_next
from asgi_tokenguard.core.paths import below_root, is_misplaced, is_odd
from asgi_tokenguard.errors import NotAuthenticated, StepUpRequired

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_tokenguard.errors import Refusal
    from asgi_tokenguard.options import Settings


def location(refusal: Refusal, scope: Scope, settings: Settings) -> str | None:
    """The `Location` that *refusal* becomes for the request of *scope*; None where it is answered as it is."""
    page = _page(refusal, settings)
    if page is None or not _is_document(scope, settings):
        return None
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    here = below_root(path, root)
    if _is_dead_end(here, page, settings) or credentials.names_root(scope):
        return None
    # The root path is the server's word, but some take it from a header.
    start = quote(root)
    if not is_local(start + page):
        return None
    raw = scope.get("raw_path")
    clear = here.startswith("/") and not (is_odd(path, raw) or is_misplaced(path, raw, root))
    return with_next(start + page, local_url(root + here, scope.get("query_string", b"")) if clear else None)


def next_path(request_or_scope: Any, default: str = "/") -> str:
    """
    Where to send a user on to who has signed in: `next` of this request's query, or *default*.

    What it returns of `next` is a path of this site with its query, never another site, whoever has written the link; two
    `next` in one query count as none.
    """
    scope = request_or_scope if isinstance(request_or_scope, Mapping) else request_or_scope.scope
    return next_in(scope.get("query_string", b"")) or default


def _page(refusal: Refusal, settings: Settings) -> str | None:
    if isinstance(refusal, StepUpRequired):
        return settings.step_up or settings.sign_in  # a login proves who they are as well
    return settings.sign_in if isinstance(refusal, NotAuthenticated) else None


def _is_document(scope: Scope, settings: Settings) -> bool:
    signs = credentials.signs(scope, settings)
    # A renderer that passes its visitor's metadata on needs to hear 401: the redirect is its own to make.
    return kind(signs) is Kind.PAGE and not signs.rotation_off


def _is_dead_end(here: str, page: str, settings: Settings) -> bool:
    """Whether going to *page* from *here* could go round in a circle."""
    bare = here.rstrip("/")  # frameworks send from one to the other form by themselves
    if settings.endpoints is not None and here.startswith(settings.endpoints):
        return True  # an API of ours, not a page to come back to
    return bare in {page.rstrip("/"), None if settings.sign_in is None else settings.sign_in.rstrip("/")}
