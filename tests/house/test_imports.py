"""Arrows go one way, one importer per SDK, and importing does nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "cloudjhub"

# The only modules that may know these. The local EC2 is the other side of the border.
SOLE_IMPORTERS = {
    "boto3": {"cloudjhub.aws"},
    "botocore": {"cloudjhub.aws"},
    "paramiko": {"cloudjhub.remote"},
    "jupyterhub": {
        "cloudjhub.hub_api",
        "cloudjhub.hub_machines",
        "cloudjhub.hub_proxy",
        "cloudjhub.culler.web",
        "cloudjhub.hub_start",
        "cloudjhub.server_tokens",
        "cloudjhub.spawner",
        "cloudjhub.spawner_traits",
        "cloudjhub.start_failure",
        "cloudjhub.logins.handlers",
    },
}

IN_THE_SERVER = "cloudjhub.worker.idle"

# From left to right as in docs/architecture.md: a module may import what stands left of it.
ARROWS = [
    ("cloudjhub.aws", "cloudjhub.ec2"),
    ("cloudjhub.ec2", "cloudjhub.fleet"),
    ("cloudjhub.fleet", "cloudjhub.machine"),
    ("cloudjhub.remote", "cloudjhub.notebook"),
    ("cloudjhub.machine", "cloudjhub.server_start"),
    ("cloudjhub.notebook", "cloudjhub.server_start"),
    ("cloudjhub.server_start", "cloudjhub.spawner"),
]


def module_name(path: Path) -> str:
    parts = ("cloudjhub", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str) -> set[str]:
    """Every module that this one names in an import at its top level or inside a function."""
    found: set[str] = set()
    for node in running_nodes(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, name)
            members = {f"{base}.{alias.name}" for alias in node.names}
            of_package = members & FILES.keys()
            found |= of_package
            if len(of_package) < len(members):
                found.add(base)
    return found


def base_of(node: ast.ImportFrom, name: str) -> str:
    """The absolute name after ``from``."""
    if not node.level:
        return node.module or ""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from running_nodes(node)


GRAPH = {name: imported(name) for name in FILES}


def upstream(name: str) -> set[str]:
    """Every module of the package that this one reaches by imports."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in GRAPH.get(waiting.pop(), set()) & FILES.keys():
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def inside(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


def test_imports_make_no_circle():
    # `cloudjhub` itself hands out the spawner on first use; that is no arrow at import time.
    edges = {name: targets & FILES.keys() for name, targets in GRAPH.items() if name != "cloudjhub"}
    assert len(list(TopologicalSorter(edges).static_order())) >= len(edges)


@pytest.mark.parametrize(("left", "right"), ARROWS)
def test_arrows_do_not_point_back(left: str, right: str):
    assert left in FILES and right in FILES
    members = [name for name in FILES if inside(name, left)]
    wrong = [name for name in members if any(inside(other, right) for other in upstream(name))]
    assert not wrong


@pytest.mark.parametrize("package", SOLE_IMPORTERS)
def test_one_importer_per_sdk(package: str):
    importers = {
        name
        for name, targets in GRAPH.items()
        if not inside(name, "cloudjhub.local")
        and any(inside(target, package) for target in targets)
    }
    assert importers <= SOLE_IMPORTERS[package]


def test_nobody_above_knows_of_the_local_ec2_or_the_demo():
    outside = [
        name
        for name in FILES
        if not inside(name, "cloudjhub.local") and not inside(name, "cloudjhub.demo")
    ]
    for name in outside:
        for hidden in ("cloudjhub.local", "cloudjhub.demo", "moto"):
            assert not any(inside(target, hidden) for target in GRAPH[name]), name


def test_the_local_ec2_does_not_know_the_demo_or_the_spawner():
    for name in FILES:
        if inside(name, "cloudjhub.local"):
            assert not any(
                inside(target, other)
                for target in GRAPH[name]
                for other in ("cloudjhub.demo", "cloudjhub.spawner", "cloudjhub.fleet")
            ), name


def test_what_travels_to_machines_needs_only_the_standard_library():
    for name in FILES:
        if inside(name, "cloudjhub.worker"):
            roots = {target.split(".")[0] for target in GRAPH[name]}
            # What runs within Jupyter Server has what that has.
            server = {"jupyter_server", "tornado"} if inside(name, IN_THE_SERVER) else set()
            assert roots <= {*sys.stdlib_module_names, "cloudjhub", *server}, name
            own = {target for target in GRAPH[name] if inside(target, "cloudjhub")}
            assert all(inside(target, "cloudjhub.worker") for target in own), name


def test_policies_know_names_and_errors_only():
    for name in (name for name in FILES if inside(name, "cloudjhub.policy")):
        for target in GRAPH[name]:
            known = ("cloudjhub.policy", "cloudjhub.naming", "cloudjhub.errors")
            ours = any(inside(target, other) for other in known)
            assert ours or target.split(".")[0] in sys.stdlib_module_names, (name, target)


WATCHED_IMPORT = """
import importlib, os, sys, threading
importlib.import_module("ssl"), importlib.import_module("uuid")
TOUCHY = {"socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.remove", "os.fork"}
def watch(event, arguments):
    if event in TOUCHY:
        raise AssertionError(f"importing did {event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if "__pycache__" not in str(arguments[0]):
            raise AssertionError(f"importing wrote {arguments[0]}")
before = dict(os.environ)
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert dict(os.environ) == before, "importing changed the environment"
print("\\n".join(sorted(sys.modules)))
"""


def import_alone(*names: str) -> set[str]:
    """Import in a fresh Python that watches; the modules loaded by it."""
    # -B: folders for bytecode are Python's own doing.
    command = [sys.executable, "-B", "-c", WATCHED_IMPORT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_does_nothing():
    ours = [name for name in FILES if not inside(name, "cloudjhub.local")]
    import_alone(*(name for name in ours if not name.endswith("__main__")))


def test_the_pure_parts_load_no_sdk():
    loaded = import_alone("cloudjhub", "cloudjhub.config", "cloudjhub.naming", "cloudjhub.errors")
    assert not loaded & {"boto3", "paramiko", "jupyterhub", "moto"}


def test_naming_the_local_ec2_does_not_load_moto():
    assert "moto" not in import_alone("cloudjhub.local")
