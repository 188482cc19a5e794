"""Django is set up before any module of it is imported."""

from support import django_project  # noqa: F401
