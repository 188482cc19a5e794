"""The shell: ASGI messages in, decisions carried out, ASGI messages out."""
