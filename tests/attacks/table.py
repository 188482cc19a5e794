"""All attacks.  Rule: what a forged token is answered is said here, once for each place in which it can come."""

from __future__ import annotations

from typing import Final

from attacks.forms import FORMS
from attacks.headers import HEADERS
from attacks.payloads import PAYLOADS

ATTACKS: Final = [*HEADERS, *FORMS, *PAYLOADS]
