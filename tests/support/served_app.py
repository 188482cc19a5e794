"""The plain app for uvicorn in a process of its own; what it needs comes in the environment."""

from __future__ import annotations

import json
import os

from asgi_tokenguard import Lifetimes, TokenGuardMiddleware
from support.apps import plain_app

_options = json.loads(os.environ["TOKENGUARD_TEST_OPTIONS"])
if "lifetimes" in _options:
    _options["lifetimes"] = Lifetimes(**_options["lifetimes"])
app = TokenGuardMiddleware(plain_app, public=["/login", "/logout"], **_options)
