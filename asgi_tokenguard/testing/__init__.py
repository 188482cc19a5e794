"""
Helpers for the tests of your own app; docs/testing.md shows them at work.

guarded(app)      the app on a Redis of the test's own, whatever it was configured for
AuthClient(app)   a browser: cookie jar, the page's access token, what browsers say of themselves
Clock()           time that goes on when it is told to, for the guard, for Redis and for the browser's cookies

With pytest the fixtures `tokenguard_app`, `tokenguard_client`, `tokenguard_clock` and `tokenguard_redis` are there by
themselves.  Nothing of the package outside of this folder knows of it.
"""

from asgi_tokenguard.testing.clients import AsyncAuthClient, AuthClient
from asgi_tokenguard.testing.clock import Clock
from asgi_tokenguard.testing.guarding import guarded
from asgi_tokenguard.testing.server import redis_for_tests

__all__ = ["AsyncAuthClient", "AuthClient", "Clock", "guarded", "redis_for_tests"]
