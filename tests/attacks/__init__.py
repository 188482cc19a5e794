"""The known attacks on JSON Web Tokens, each with its exact answer; `test_over_http.py` sends them to a real server."""
