"""Identity of a function that lives in no importable file: a notebook cell, a script, a prompt.

Its module has no other name, so what counts is its own source and whatever it reaches by name:
functions, classes and values of the same session, and modules that lie beside it. Editing one cell
or one function of a script therefore reruns what uses it, and nothing else.
"""

import ast
import dis
import functools
import hashlib
import inspect
import pickle
import types
from collections.abc import Callable, Mapping
from typing import Any

from assay.core.identity import is_core, module_trees, source_root, tree_text
from assay.errors import WorkflowError

PLAIN = (types.NoneType, bool, int, float, complex, str, bytes)
Parts = list[tuple[str, Any]]


def captured(function: Callable[..., Any]) -> list[list[Any]]:
    """Everything a function is made of: each name it reaches, with its source or value.

    Raises:
        WorkflowError: If it reaches a value that has no lasting form.
    """
    home, found = function.__module__, list[list[Any]]()
    seen: dict[int, Any] = {}
    waiting: Parts = [("", function)]
    while waiting:
        name, value = waiting.pop()
        if not isinstance(value, PLAIN):
            if id(value) in seen:
                continue
            seen[id(value)] = value
        said, parts = _look(name, value, home)
        if said is not None:
            found.append([name, said])
        waiting += [(f"{name}.{part}", inner) for part, inner in parts]
    return sorted(found, key=lambda pair: pair[0])


def _look(name: str, value: Any, home: str) -> tuple[Any, Parts]:
    """What a value says of itself, and the values it reaches."""
    if isinstance(value, PLAIN):
        return repr(value), []
    if isinstance(value, types.FunctionType) and value.__module__ == home:
        return _source(value.__code__), _reached_by(value)
    if isinstance(value, type) and value.__module__ == home:
        return _source(value), _members(value)
    if isinstance(value, types.ModuleType):
        return _trees(value.__name__), []
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return _trees(value.__module__ or "builtins"), []
    if hasattr(value, "__wrapped__"):  # lru_cache, a compiled function
        return None, [("wrapped", value.__wrapped__)]
    if isinstance(value, functools.partial):
        return None, [("call", value.func), ("args", value.args), ("keywords", value.keywords)]
    return _look_inside(name, value)


def _look_inside(name: str, value: Any) -> tuple[Any, Parts]:
    if isinstance(value, Mapping):
        return None, [(repr(key), item) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if type(value) in (list, tuple):
        return len(value), [(str(n), item) for n, item in enumerate(value)]
    try:  # written to be hashed; nothing here is ever read back
        form = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise WorkflowError(
            f"a component reaches {name.rpartition('.')[2]!r}, a {type(value).__name__} without a "
            "lasting form",
            next="Make it an input or a parameter.",
        ) from error
    return hashlib.sha256(form).hexdigest(), [("type", type(value))]


def _reached_by(function: types.FunctionType) -> Parts:
    """Globals, enclosing variables and defaults of a function."""
    parts: Parts = []
    scope = function.__globals__
    for name in sorted(_globals(function.__code__)):
        if name in scope:
            parts.append((name, scope[name]))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        parts.append((name, cell.cell_contents))
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return parts + [(f"default {n}", value) for n, value in enumerate(defaults)]


def _globals(code: types.CodeType) -> set[str]:
    names = {
        i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            names |= _globals(inner)
    return names


def _members(made: type) -> Parts:
    """Base classes and methods of a class."""
    parts: Parts = [(f"base {n}", base) for n, base in enumerate(made.__bases__)]
    for name, member in vars(made).items():
        method = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(method, types.FunctionType):
            parts.append((name, method))
    return parts


def _trees(module: str) -> Any:
    """Syntax trees of a module that lies beside the session; None of an installed one."""
    return None if is_core(module) or source_root(module) is None else module_trees(module)


def _source(thing: Any) -> Any:
    """Syntax tree of a function's or class's source; without one, its bytecode."""
    try:
        text = inspect.getsource(thing)
        text = f"if True:\n{text}" if text[0].isspace() else text
        return tree_text(ast.parse(text))
    except (OSError, TypeError, SyntaxError):
        return _bytecode(thing) if isinstance(thing, types.CodeType) else thing.__qualname__


def _bytecode(code: types.CodeType) -> list[Any]:
    consts = [
        _bytecode(each)
        if isinstance(each, types.CodeType)
        else repr(sorted(each, key=repr) if isinstance(each, frozenset) else each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), consts]
