"""
The demo: a small guarded app, a server for it, lines to paste, and a self-test over HTTP.

app.py        the app: log in, protected data, sessions, log out
serve.py      runs it under uvicorn
hints.py      what to try with curl
selftest.py   drives a running server through the promises of the README
"""
