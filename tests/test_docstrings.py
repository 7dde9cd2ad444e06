"""What the docstrings of public functions must tell, checked by reading the source."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import ridgeline

SOURCE = Path(ridgeline.__file__).parent
ERRORS = {"BadInput", "UnknownName", "Infeasible", "MissingExtra"}
FILES = sorted(SOURCE.rglob("*.py"))
# What a surface calls with the user's words, and what a dispatcher calls: their errors are those of
# what they call.
CALLED_FOR = ("command", "group", "register", "option", "get", "post", "route")


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Public functions of a module and methods of its public classes."""
    for node in tree.body:
        owned = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else [node]
        for found in owned:
            if isinstance(found, ast.FunctionDef) and found.name[0] != "_" and not any(
                    name in ast.unparse(d) for d in found.decorator_list for name in CALLED_FOR):
                yield found


def raised(function: ast.FunctionDef) -> set[str]:
    """Errors of ours that a function raises by name."""
    named = {ast.unparse(node.exc).split("(")[0].split(".")[0]
             for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc}
    return named & ERRORS


def silent(source: str) -> list[str]:
    """Public functions that raise an error of ours and do not tell, nor does their module."""
    tree = ast.parse(source)
    if "raises" in (ast.get_docstring(tree) or "").lower():
        return []
    return [f.name for f in public_functions(tree) if raised(f) and not any(
        word in (ast.get_docstring(f) or "").lower() for word in ("raises", "refuse"))]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SOURCE).as_posix())
def test_a_public_function_says_what_it_raises(file):
    assert silent(file.read_text(encoding="utf-8")) == []


def test_the_walk_sees_a_function_that_does_not_tell():
    body = "def f(x):\n    '''Sum.{}'''\n    if x:\n        raise BadInput('x')\n"
    assert silent(body.format("")) == ["f"]
    assert silent(body.format("\n\n    Raises:\n        BadInput: x.")) == []
    assert silent("'''Each raises `BadInput`.'''\n" + body.format("")) == []
    method = "class A:\n    def f(self):\n        '''Do.'''\n        raise Infeasible\n"
    assert silent(method) == ["f"]
    assert silent("def _f():\n    raise BadInput('x')\n") == []


@pytest.mark.parametrize("name", [n for n in ridgeline.__all__
                                  if inspect.isfunction(getattr(ridgeline, n))])
def test_the_surface_tells_arguments_results_and_errors(name):
    function = getattr(ridgeline, name)
    text = inspect.getdoc(function) or ""
    assert text.partition("\n")[0].endswith(".") and "Raises:" in text
    for parameter in inspect.signature(function).parameters:
        assert parameter in text, f"{name} does not tell of {parameter}"
