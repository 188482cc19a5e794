"""Locators: where an address is, by a file, a provider or a table.  httpx and maxminddb are imported when one is built."""

from asgi_tokenguard.geo.cache import MISS, Miss, PlaceCache
from asgi_tokenguard.geo.fields import Fields
from asgi_tokenguard.geo.fixed import FixedLocator
from asgi_tokenguard.geo.http_api import HttpLocator
from asgi_tokenguard.geo.locator import Locator
from asgi_tokenguard.geo.maxmind import MaxMindLocator

__all__ = ["MISS", "Fields", "FixedLocator", "HttpLocator", "Locator", "MaxMindLocator", "Miss", "PlaceCache"]
