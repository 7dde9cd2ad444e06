"""Arithmetic written as text: the small language in which claims and exercises state their sums.

Numbers, + - * / **, comparisons, `and`/`or`/`not`, names given by the caller, every public formula
by its name with keyword arguments, and look-ups in the catalog:

    forward_pass_ceiling(active_params=model('Llama-3-70B').active, n_chips=8,
                         peak_flops_per_s=chip('H100').bf16)

Nothing else of Python is understood, so text from a file cannot do anything but compute.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.explain.listing import Formula, is_formula

__all__ = ["evaluate", "find_formula", "formulas_used", "spelled_out"]

Result = float | bool | str

# Longer text, deeper nesting and larger powers are mistakes or mischief.
_LONGEST, _LARGEST_POWER = 2000, 64
_ROOMS = ("work", "timing", "memory", "serving", "training", "retrieval", "reasoning",
          "economics")
_DEFINED = re.compile(r"^def ([a-z]\w*)\(\*", re.MULTILINE)
_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv}
_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: lambda a, b: _same(a, b), ast.NotEq: lambda a, b: not _same(a, b)}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "ceil": math.ceil, "floor": math.floor,
    "sqrt": math.sqrt, "log2": math.log2, "ln": math.log, "exp": math.exp}


def evaluate(text: str, names: Mapping[str, float] | None = None) -> Result:
    """The value of an expression: a number, or true or false for a comparison.

    Args:
        text: as described above; "^" is a power, "x" between numbers a product.
        names: values of the names it uses.

    Raises:
        BadInput: it cannot be read, uses something unknown, or has no finite value.

    >>> evaluate("2 * P", {"P": 70e9})
    140000000000.0
    >>> evaluate("ridge_point(peak_flops_per_s=312e12, memory_bandwidth=2e12)")
    156.0
    >>> evaluate("chip('H100').bf16 > chip('A100').bf16")
    True
    """
    if len(text) > _LONGEST:
        raise BadInput(f"an expression of {len(text)} characters is too long; at most {_LONGEST}")
    try:
        tree = ast.parse(_plain(text), mode="eval")
        value = _value(tree.body, dict(names or {}))
    except RidgelineError:
        raise
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise BadInput(f"cannot read {text!r} as arithmetic: {error}") from None
    except (ZeroDivisionError, OverflowError) as error:
        raise BadInput(f"{text!r} has no value: {error}") from None
    if isinstance(value, (bool, str)):
        return value
    if not isinstance(value, (int, float)) or math.isnan(value):
        raise BadInput(f"{text!r} is not a number")
    return float(value)


def spelled_out(text: str, names: Mapping[str, float]) -> str:
    """An expression with its names replaced by their values, for showing."""
    def value(match: re.Match[str]) -> str:
        name = match[0]
        followed = text[match.end():].lstrip()[:1]
        return f"{names[name]:g}" if name in names and followed not in ("(", "=") else name
    return re.sub(r"(?<![\w.'])[A-Za-z_]\w*", value, text)


def formulas_used(text: str) -> list[str]:
    """Names of the formulas that an expression calls, in order.

    Raises:
        BadInput: text that is no arithmetic.
    """
    try:
        tree = ast.parse(_plain(text), mode="eval")
    except SyntaxError as error:
        raise BadInput(f"cannot read {text!r} as arithmetic: {error}") from None
    called = [n.func.id for n in ast.walk(tree)
              if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return [n for n in dict.fromkeys(called) if n not in _FUNCTIONS and n not in _LOOKUPS]


def _plain(text: str) -> str:
    """Typographic signs as Python writes them."""
    text = text.strip().replace("×", "*").replace("·", "*").replace("−", "-").replace("^", "**")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return re.sub(r"(?<=[\d)])\s+x\s+(?=[\d(])", " * ", text)


def _value(node: ast.AST, names: dict[str, float]) -> Any:
    """Evaluate one node of the tree."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return float(node.value) if isinstance(node.value, int) else node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise UnknownName.among("name", node.id, names)
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, names)
        return (not inner) if isinstance(node.op, ast.Not) else -inner
    if isinstance(node, ast.BinOp):
        return _binary(node, names)
    if isinstance(node, ast.BoolOp):
        parts = [bool(_value(v, names)) for v in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare):
        return _compared(node, names)
    if isinstance(node, ast.Call):
        return _called(node, names)
    if isinstance(node, ast.Attribute):
        return _looked_up(node, names)
    raise BadInput(f"an expression cannot hold {ast.unparse(node)!r}; it takes numbers, names, "
                   "+ - * / **, comparisons, formulas and catalog look-ups")


def _binary(node: ast.BinOp, names: dict[str, float]) -> Any:
    left, right = _value(node.left, names), _value(node.right, names)
    if isinstance(node.op, ast.Pow):
        if abs(right) > _LARGEST_POWER:
            raise BadInput(f"a power of {right:g} is too large; at most {_LARGEST_POWER}")
        return left**right
    if type(node.op) not in _ARITHMETIC:
        raise BadInput(f"an expression cannot use the sign in {ast.unparse(node)!r}")
    return _ARITHMETIC[type(node.op)](left, right)


def _compared(node: ast.Compare, names: dict[str, float]) -> bool:
    values = [_value(part, names) for part in (node.left, *node.comparators)]
    return all(_COMPARISONS[type(sign)](a, b)
               for sign, a, b in zip(node.ops, values, values[1:], strict=False))


def _same(first: Any, second: Any) -> bool:
    """Equality of numbers up to rounding of the arithmetic."""
    if isinstance(first, str) or isinstance(second, str):
        return bool(first == second)
    return math.isclose(first, second, rel_tol=1e-9)


def _called(node: ast.Call, names: dict[str, float]) -> Any:
    """A function of numbers, or a formula of the package."""
    if not isinstance(node.func, ast.Name):
        raise BadInput(f"an expression cannot call {ast.unparse(node.func)!r}")
    name = node.func.id
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*(_value(a, names) for a in node.args))
    if name == "si" or name == "unit":
        return _of_unit(name, [_value(a, names) for a in node.args])
    if name in _LOOKUPS:
        raise BadInput(f"{name}(...) needs what to look up, such as {_EXAMPLES[name]}")
    if node.args or any(k.arg is None for k in node.keywords):
        raise BadInput(f"{name} takes its values by name, such as {name}(batch_size=64)")
    return find_formula(name)(**{str(k.arg): _value(k.value, names) for k in node.keywords})


@lru_cache(maxsize=512)
def find_formula(name: str) -> Formula:
    """A public formula by its short name, importing only the module that holds it.

    Raises:
        UnknownName: there is none, with the nearest.
    """
    import importlib

    modules = _modules()
    if name not in modules:
        raise UnknownName.among("formula", name, [*modules, *_FUNCTIONS])
    found = getattr(importlib.import_module(modules[name]), name)
    if not is_formula(found):
        raise UnknownName.among("formula", name, modules)
    return cast(Formula, found)


@lru_cache(maxsize=1)
def _modules() -> dict[str, str]:
    """Module of every function that reads like a formula, told from the text."""
    import ridgeline

    root = Path(ridgeline.__file__).parent
    found: dict[str, str] = {}
    for room in _ROOMS:
        for file in (root / room).rglob("*.py"):
            text = file.read_text("utf-8")
            if "-> Numeric" not in text or "kernels" in file.parts:
                continue
            parts = file.relative_to(root).with_suffix("").parts
            module = ".".join(("ridgeline", *parts)).removesuffix(".__init__")
            found |= dict.fromkeys(_DEFINED.findall(text), module)
    return found


def _of_unit(name: str, values: list[Any]) -> Any:
    """`si("100 TFLOP", "FLOP")` reads a quantity; `unit("TFLOPS")` is the SI unit of a unit."""
    from ridgeline.quantity import parse_quantity

    if name == "si":
        return parse_quantity(*values)
    for unit in ("FLOP", "FLOP/s", "B", "B/s", "s", "W", "J", "token", "param", "USD"):
        try:
            parse_quantity(f"1 {values[0]}", unit)
        except BadInput:
            continue
        return unit
    raise BadInput(f"unknown unit {values[0]!r}")


def _looked_up(node: ast.Attribute, names: dict[str, float]) -> float:
    """chip('H100').bf16, model('Llama-3-70B').active, link('NVLink 4').bandwidth."""
    call = node.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            and call.func.id in _LOOKUPS and len(call.args) == 1 and not call.keywords):
        raise BadInput(f"an expression cannot hold {ast.unparse(node)!r}; look-ups are "
                       + ", ".join(f"{n}('...')" for n in _LOOKUPS))
    name = _value(call.args[0], names)
    if not isinstance(name, str):
        raise BadInput(f"{call.func.id}(...) needs a name in quotes, not {name!r}")
    known = _LOOKUPS[call.func.id](name)
    if node.attr not in known:
        raise UnknownName.among(f"number of a {call.func.id}", node.attr, known)
    return float(known[node.attr])


@lru_cache(maxsize=64)
def _chip(name: str) -> dict[str, float]:
    from ridgeline.catalog import load_chip

    chip = load_chip(name)
    links = {"scale_up": chip.scale_up, "scale_out": chip.scale_out, "host": chip.host}
    return {**chip.peaks, "bandwidth": chip.memory_bandwidth, "memory": chip.memory_bytes,
            "watts": chip.tdp, "cores": float(chip.n_cores), "domain": float(chip.domain_size),
            **{key: link.bandwidth for key, link in links.items() if link is not None}}


@lru_cache(maxsize=64)
def _model(name: str) -> dict[str, float]:
    from ridgeline.model.load import load_architecture
    from ridgeline.model.parts import Attention

    found = load_architecture(name)
    heads = [b.mixer for b, _ in found.blocks if isinstance(b.mixer, Attention)]
    routed = [ffn for ffn, _ in found.mixtures]
    share = found.params_by_role.get("attention", 0) / found.total_params
    out = {"params": float(found.total_params), "active": float(found.active_params),
           "kv": float(found.kv_bytes_per_token()), "layers": float(found.n_layers),
           "width": float(found.d_model), "vocab": float(found.vocab_size),
           "context": float(found.max_context), "attention_share": share,
           "experts": float(routed[0].n_experts if routed else 0),
           "top_k": float(routed[0].top_k if routed else 0)}
    if heads:
        out |= {"heads": float(heads[0].n_heads), "kv_heads": float(heads[0].n_kv_heads),
                "head_dim": float(heads[0].head_dim)}
    return out


@lru_cache(maxsize=64)
def _link(name: str) -> dict[str, float]:
    from ridgeline.catalog import load_link

    link = load_link(name)
    return {"bandwidth": link.bandwidth, "latency": link.latency}


@lru_cache(maxsize=64)
def _format(name: str) -> dict[str, float]:
    from ridgeline.formats import get_format

    return {"bits": get_format(name).bits, "bytes": get_format(name).bytes}


_EXAMPLES = {"chip": "chip('H100').bf16", "model": "model('Llama-3-70B').active",
             "link": "link('NVLink 4').bandwidth", "format": "format('q4_k_m').bits"}
_LOOKUPS: dict[str, Callable[[str], dict[str, float]]] = {
    "chip": _chip, "model": _model, "link": _link, "format": _format}
