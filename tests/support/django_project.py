"""A Django project with users in a database, set up once in a process: Django's settings are global."""

from __future__ import annotations

import tempfile
from pathlib import Path

import django
from django.conf import settings

FOLDER = Path(tempfile.mkdtemp(prefix="tgd", dir="/tmp"))  # tests/frameworks/conftest.py removes it
if not settings.configured:
    settings.configure(
        SECRET_KEY="for tests only",
        ALLOWED_HOSTS=["app.example"],
        ROOT_URLCONF=(),  # each test brings its own: `override_settings(ROOT_URLCONF=...)`
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "db"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick; nobody's password is here
        MIDDLEWARE=["asgi_tokenguard.django.UserMiddleware"],
        LOGIN_URL="/sign-in",
        LOGGING_CONFIG=None,
    )
    django.setup()
