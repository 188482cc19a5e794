"""The code blocks of README and docs run, and the README's app does what it says."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from support.wire import call
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Its blocks are the files of a project: tests/testing/test_plugin.py runs them as that.
PROJECTS = {"testing.md"}


def run_blocks(path: Path) -> dict[str, object]:
    document = Document.parse(str(path), PythonCodeBlockParser())
    document.namespace["__name__"] = __name__  # Litestar asks in which module a handler stands
    for example in document.examples():
        example.evaluate()
    return document.namespace


@pytest.mark.parametrize("path", [each for each in DOCUMENTS if each.name not in PROJECTS], ids=lambda path: path.name)
def test_every_code_block_runs(path):
    run_blocks(path)


async def test_the_readme_app_logs_in_and_says_who_asks():
    app = run_blocks(ROOT / "README.md")["app"]
    try:
        assert 401 == (await call(app, "GET", "/me")).status
        login = await call(app, "POST", "/login")
        me = await call(app, "GET", "/me", [("authorization", f"Bearer {login.new_token}")])
        assert {"user": "user-1", "role": "admin"} == me.json()
    finally:
        await app.guard.aclose()


async def test_the_readiness_check_says_whether_somebody_could_log_in(server, tmp_path):
    found = run_blocks(ROOT / "docs" / "redis.md")
    for url, answer in ((server.url, True), (f"unix://{tmp_path}/none", False)):
        guard = found["TokenGuard"](secret="a secret of more than thirty-two bytes, for tests only", redis=url)
        assert answer == await found["is_ready"](guard)
        assert [] == (await guard.sessions("readiness check") if answer else [])
        await guard.aclose()


def test_the_clients_in_the_documents_are_taken_and_carry_user_and_certificate():
    from asgi_tokenguard.store.connect import Connector

    found = run_blocks(ROOT / "docs" / "redis.md")
    of_sentinel = found["sentinel"].master_for("main").connection_pool
    assert ("tokenguard", "/etc/ssl/redis-ca.pem") == tuple(
        of_sentinel.connection_kwargs[name] for name in ("username", "ssl_ca_certs")
    )
    (one, *_) = found["sentinel"].sentinels
    assert ("another", None) == tuple(one.connection_pool.connection_kwargs.get(name) for name in ("password", "username"))
    assert found["client"].connection_kwargs["username"] == "tokenguard"
    for client in (found["sentinel"].master_for("main"), found["client"]):
        assert Connector(client, 1)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text())
    assert [] == [link for link in links if not (path.parent / link).exists()]


def test_every_test_that_the_documents_name_is_there():
    """A name may end in `...`."""
    sources = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = {name for path in DOCUMENTS for name in re.findall(r"`(test_\w+)(?:\.\.\.)?`", path.read_text())}
    assert [] == sorted(name for name in named if f"def {name}" not in sources)
    assert len(named) >= 10


THREATS = (ROOT / "docs" / "topics" / "threat-model.md").read_text()


def rows_of(heading: str) -> list[list[str]]:
    """The cells of all tables below *heading*, without their heads."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", THREATS, flags=re.MULTILINE | re.DOTALL)
    written = re.sub(r"<!-- \w+ -->.*?<!-- end -->", "", section, flags=re.DOTALL)
    rows = [line.split(" | ") for line in re.findall(r"^\| (.*) \|$", written, flags=re.MULTILINE)]
    return [row for row in rows if row[0] not in {"threat", "id", "level", "asset"}]


ACTORS = re.findall(r"^## (.*)\n(?:\n|[^#|\n].*\n)*\| threat \|", THREATS, flags=re.MULTILINE)
STANDARDS = re.findall(r"^## ((?:OWASP|RFC|FAPI|NIST) .*)$", THREATS, flags=re.MULTILINE)


def test_each_actor_has_a_section():
    words = ("cookie", "access token", "both", "malware", "XSS", "site", "network", "proxy", "user", "Redis", "key", "floods")
    assert [] == [word for word in (*words, "service") if word not in "".join(ACTORS)]


@pytest.mark.parametrize("actor", ACTORS)
def test_each_threat_is_met_and_a_test_shows_it_or_it_says_that_it_is_not(actor):
    for threat, what, shown in rows_of(actor):
        assert (said := re.match(r"\*\*(Met|In part|Not met|The app)\*\*", what)), threat
        assert "`test_" in shown or said[1] in {"Not met", "The app"}, threat


@pytest.mark.parametrize("standard", STANDARDS)
def test_each_requirement_of_a_standard_has_an_answer(standard):
    words = r"(met|met by the app|in part|not met|does not apply)(, with the values below|: .*)?"
    for row in rows_of(standard):
        answer = row[4] if row[0].startswith("AAL") else row[2]
        assert re.fullmatch(words, answer), row


def test_no_requirement_of_the_chapters_on_sessions_tokens_and_jwts_is_left_out():
    counts = {"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2, "9.1": 3, "9.2": 4, "3.3": 5}
    wanted = [f"{section}.{number}" for section, count in counts.items() for number in range(1, count + 1)]
    assert wanted == [row[0] for row in rows_of("OWASP ASVS 5.0")]
    jwts = rows_of("RFC 8725, JSON Web Token Best Current Practices")
    assert [f"3.{number}" for number in range(1, 13)] == [row[0] for row in jwts]


def test_the_figures_of_the_threat_model_are_those_of_the_documented_simulation(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    report = json.loads((ROOT / "docs" / "benchmarks" / "lingering.json").read_text())
    for name, lines in import_module("_thieves").pieces(report).items():
        assert f"<!-- {name} -->\n{lines}<!-- end -->" in THREATS


def test_every_option_is_documented():
    from asgi_tokenguard.options import GuardOptions

    text = (ROOT / "docs" / "options.md").read_text()
    assert [] == [name for name in GuardOptions.__annotations__ if f"| `{name}` |" not in text]


def test_every_code_is_listed_where_options_are():
    from asgi_tokenguard import Code

    text = (ROOT / "docs" / "options.md").read_text()
    assert [] == [code.value for code in Code if f"`{code.value}`" not in text]


def refusals():
    """One of each kind; the codes that are left are those of `NotAuthenticated`."""
    from asgi_tokenguard import errors

    told = {errors.StepUpRequired: (60,), errors.InsufficientScope: ("read",), errors.MethodNotAllowed: ("GET",)}
    told |= {errors.RateLimited: (60,)}
    kinds = [kind for kind in errors.Refusal.__subclasses__() if kind not in {errors.NotAuthenticated, errors.ProofRefused}]
    kinds += errors.StoreUnavailable.__subclasses__()
    return [kind(*told.get(kind, ())) for kind in kinds]


def test_every_code_is_explained_with_its_status_and_what_a_client_does():
    from asgi_tokenguard import Code

    statuses = dict.fromkeys(Code, 401) | {refusal.code: refusal.status_code for refusal in refusals()}
    text = (ROOT / "docs" / "api.md").read_text().partition("### Codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| (.{10,}) \| (.{10,}) \|$", text, flags=re.MULTILINE)
    assert sorted((code.value, statuses[code]) for code in Code) == sorted((code, int(status)) for code, status, *_ in rows)


def test_the_sizes_that_are_documented_are_those_of_the_code():
    from asgi_tokenguard import proofs, tokens
    from asgi_tokenguard.core import address, claims, cookie
    from asgi_tokenguard.store import cache

    text = (ROOT / "docs" / "limits.md").read_text().partition("## Sizes")[2]
    stated = [int(number) for number in re.findall(r"(?<=[| ])(\d+)(?= (?:bytes|deep|hops|\|))", text)]
    assert [
        tokens.MAX_TOKEN,
        claims.MAX_CLAIMS,
        claims.MAX_DEPTH,
        claims.MAX_SUBJECT,
        cookie.MAX_COOKIE,
        proofs.MAX_PROOF,
        address.MAX_BYTES,
        address.MAX_HOPS,
        cache.MOST_ENTRIES,
        cache.MOST_OF_ONE_USER,
    ] == stated
