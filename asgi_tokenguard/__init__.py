"""Login sessions for any ASGI app: revocable at once, rotating by themselves."""
