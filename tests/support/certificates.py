"""An authority of a test's own, and certificates of it for a server and for a client, as files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

import trustme


class Certificates:
    """The files hold key and certificate in one, as `ssl` and Redis both take them."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="tgtls", dir="/tmp")
        folder, authority = Path(self._folder.name), trustme.CA()
        self.authority = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.server, self.client = str(folder / "server.pem"), str(folder / "client.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(self.server)
        authority.issue_cert("app@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
