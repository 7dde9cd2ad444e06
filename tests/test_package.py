"""The package as a whole: what it exports, what it costs to import, who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ridgeline

SOURCE = Path(ridgeline.__file__).parent
REPOSITORY = SOURCE.parent.parent

# The road: a room imports only rooms that stand before it, at the top of a file or within a
# function. Records stand before the files that fill them (machine before catalog), and what only
# draws or words a result (explain, report) before the questions that use it.
ROAD = ("errors", "numeric", "quantity", "files", "machine", "catalog", "formats", "model",
        "deployment", "scenario", "work", "memory", "timing", "serving", "training", "reasoning",
        "retrieval", "economics", "search", "explain", "report", "questions", "truth_data",
        "measure", "api_economics", "api_search", "api_training", "api", "cli", "web", "http",
        "mcp", "__main__")
# Reading "8xH100-SXM" as a machine needs the catalog when it is called, not before.
# The commands that start a server import it when they are called.
LOOKED_UP_LATE = {("machine", "catalog"), ("cli", "http"), ("cli", "mcp")}

HEAVY = ("numpy", "rich", "plotly", "msgspec", "scipy", "sympy", "numba", "huggingface_hub",
         "fastapi", "uvicorn", "pydantic", "mcp")


def loaded_by(code: str) -> set[str]:
    """Heavy modules that a fresh interpreter has loaded after some code."""
    tail = f"; import sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True,
                          check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import ridgeline") == set()


def test_help_loads_nothing_heavy():
    code = ("import contextlib, sys; sys.argv = ['ridgeline', '--help']\n"
            "from ridgeline.cli import main\n"
            "with contextlib.suppress(SystemExit):\n    main()\n"
            "print()")
    assert loaded_by(code) == set()


def test_public_names_change_only_on_purpose():
    kept = (Path(__file__).parent / "public_names.txt").read_text(encoding="utf-8").split()
    assert sorted(ridgeline.__all__) == kept
    assert all(hasattr(ridgeline, name) for name in kept)


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Rooms that a module imports, and whether only within a function; "." for relative imports."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    late = {id(n) for f in ast.walk(tree) if isinstance(f, functions) for n in ast.walk(f)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            if node.level:
                yield ".", id(node) in late
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        rooms = {name.split(".")[1] for name in names if str(name).startswith("ridgeline.")}
        yield from ((room, id(node) in late) for room in rooms if not room.startswith("__v"))


def room_of(file: Path) -> str:
    """The first part of a module's name within the package."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(f for f in SOURCE.rglob("*.py") if f != SOURCE / "__init__.py")


def test_every_room_has_its_place_on_the_road():
    assert {room_of(f) for f in FILES} <= set(ROAD)


def upward(here: str, source: str) -> Iterator[str]:
    """What a module of a room imports that does not stand before it; relative imports hide it."""
    for room, late in imports(ast.parse(source)):
        if room != here and not (late and (here, room) in LOOKED_UP_LATE) and (
                room == "." or ROAD.index(room) > ROAD.index(here)):
            yield room


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SOURCE).as_posix())
def test_rooms_import_only_what_stands_before_them(file):
    assert list(upward(room_of(file), file.read_text(encoding="utf-8"))) == []


def test_the_import_walk_sees_every_way_up():
    found = list(imports(ast.parse(
        "def f():\n    from ridgeline.cli import main\n"
        "import ridgeline.work.op\nfrom ridgeline import scenario\nfrom ..http import app\n"
        "async def g():\n    importlib.import_module('ridgeline.web.page')\n"
        "if TYPE_CHECKING:\n    from ridgeline.mcp import server\n")))
    assert sorted(found) == [(".", False), ("cli", True), ("mcp", False), ("scenario", False),
                             ("web", True), ("work", False)]


@pytest.mark.parametrize(("room", "source"), [
    ("work", "from ridgeline.cli import main"), ("work", "def f():\n    import ridgeline.timing"),
    ("machine", "from ridgeline.catalog import load_chip"), ("work", "from . import op")])
def test_an_import_up_the_road_is_refused(room, source):
    assert list(upward(room, source))


def test_modules_stay_readable():
    too_long = {f.relative_to(SOURCE).as_posix(): n for f in FILES
                if (n := len(f.read_text(encoding="utf-8").splitlines())) > 600}
    assert too_long == {}


def test_licence_and_notice_are_there():
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    for owner in ("aiconfigurator", "vidur", "LLMCompass", "ml-engineering"):
        assert owner.lower() in notice.lower()


@pytest.mark.parametrize("lock", ["runtime.lock", "dev.lock"])
def test_locks_pin_every_package_by_hash_and_name_no_index(lock):
    text = (REPOSITORY / "requirements" / lock).read_text(encoding="utf-8")
    assert "://" not in text and "--index-url" not in text
    pins = [p for p in text.replace("\\\n", " ").splitlines() if p and not p.startswith("#")]
    assert pins and all("==" in p and "--hash=sha256:" in p for p in pins)


def test_the_locks_hold_every_declared_dependency():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = {"runtime.lock": [*project["dependencies"], *extras["plots"], *extras["symbolic"],
                              *extras["fit"], *extras["hub"], *extras["sim"]]}
    names["dev.lock"] = names["runtime.lock"] + extras["dev"]
    for lock, wanted in names.items():
        text = (REPOSITORY / "requirements" / lock).read_text(encoding="utf-8")
        pinned = {line.split("==")[0].replace("_", "-") for line in text.splitlines()
                  if "==" in line}
        for requirement in wanted:
            name = requirement.split(">")[0].split("=")[0].split("[")[0].strip().replace("_", "-")
            assert name == "ridgeline" or name.lower() in pinned, f"{name} is not in {lock}"


def test_readme_examples_are_found_in_console_blocks_only():
    import runpy

    commands = runpy.run_path(str(REPOSITORY / ".ci" / "readme_examples.py"))["commands"]
    page = ("```console\n$ ridgeline fit X \\\n    --on Y\noutput\n$ ls\n$ make demo\n```\n"
            "```python\n$ ridgeline nope\n```\n")
    assert commands(page) == ["ridgeline fit X --on Y", "make demo"]
