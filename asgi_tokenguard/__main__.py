"""`python -m asgi_tokenguard` is the command `tokenguard`."""

from asgi_tokenguard.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
