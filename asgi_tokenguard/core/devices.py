"""What a user is shown of a device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser and its system, as far as its own headers tell; None where they do not.  Anyone can send any header."""

    browser: str | None = None
    """Name and major version: `"Firefox 140"`."""
    system: str | None = None
    """`"Windows"`, `"Android"`, `"macOS"`."""
    kind: str = "unknown"
    """`"desktop"`, `"phone"`, `"tablet"`, `"program"` (curl, a script) or `"unknown"`."""
