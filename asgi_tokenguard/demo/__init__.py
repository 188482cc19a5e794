"""
The demo: a small guarded app with a page, a server for it, lines to paste, and a self-test over HTTP.

app.py        the app: log in, protected data, a socket
files.py      the page (static/), and the policy that it is served under
travel.py     simulated addresses
attacks.py    what the page's buttons ask for: a thief's requests; for the demo only
bystander.py  copies of spent cookies for that thief, and what the guard answered to other sites
serve.py      runs it under uvicorn
hints.py      what to try with curl
selftest.py   drives a running server through the promises of the README
"""
