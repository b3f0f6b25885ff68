"""One file adds one thing; its file name is its public name.

A package that calls ``registry_package(__name__)`` in its ``__init__`` becomes a registry: each of its modules that
does not start with an underscore holds one object of the module's own name. ``from package import name`` gives that
object, whatever was imported before, because the package's class rebinds a submodule's name to the object in it.
Other distributions add objects through the entry-point group ``expunge``, with names such as ``objectives.mine``.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from expunge.core.errors import ConfigError, UnknownName
from expunge.core.presenting import ask_as_module

GROUP = "expunge"


def _object_in(module: ModuleType) -> Any:
    name = module.__name__.rpartition(".")[2]
    try:
        found = vars(module)[name]
    except KeyError:
        raise ConfigError(
            f"{module.__name__} defines no {name!r}", why="a file of a registry holds one object of the file's name"
        ) from None
    ask_as_module(found, module.__doc__)
    return found


class RegistryPackage(ModuleType):
    """The class of a registry package: attribute access imports on need and never yields a submodule."""

    def __setattr__(self, name: str, value: Any) -> None:
        ours = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        if ours and not name.startswith("_") and not hasattr(value, "__path__"):
            value = _object_in(value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in modules_of(self):
            module = importlib.import_module(f"{self.__name__}.{name}")
            return vars(self)[name] if name in vars(self) else _object_in(module)
        raise AttributeError(f"{self.__name__} has no {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *modules_of(self)})


def registry_package(name: str) -> None:
    """Make the package ``name`` a registry; the last line of its ``__init__``."""
    sys.modules[name].__class__ = RegistryPackage


def modules_of(package: ModuleType) -> list[str]:
    """The public module names in a package, without importing them."""
    infos = pkgutil.iter_modules(package.__path__)
    return sorted(info.name for info in infos if not info.ispkg and not info.name.startswith("_"))


@functools.cache
def _declared(read: Callable[..., Any], path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """What the distributions on a path add: read once, since it takes a look into every one of them."""
    return tuple(read(group=GROUP))


class Registry:
    """A view over one or more registry packages and the entry points of one kind.

    Args:
        kind: the singular word for error messages, for example ``"objective"``.
        packages: dotted names of registry packages.
        plural: first part of an entry point's name.
    """

    def __init__(self, kind: str, *packages: str, plural: str = "") -> None:
        self.kind, self.packages, self.plural = kind, packages, plural or f"{kind}s"

    def _places(self) -> dict[str, str]:
        places: dict[str, str] = {}
        for package in self.packages:
            for name in modules_of(importlib.import_module(package)):
                if name in places:
                    raise ConfigError(f"two files define the {self.kind} {name!r}", why=f"{places[name]} and {package}")
                places[name] = package
        return places

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        prefix = f"{self.plural}."
        found = _declared(importlib.metadata.entry_points, tuple(sys.path))
        return {point.name.removeprefix(prefix): point for point in found if point.name.startswith(prefix)}

    def names(self) -> list[str]:
        """All names, sorted; imports none of the modules behind them."""
        return sorted({*self._places(), *self._entry_points()})

    def get(self, name: str) -> Any:
        """The object of that name.

        Raises:
            UnknownName: nothing has that name; the message offers near ones.
        """
        places = self._places()
        if name in places:
            return getattr(importlib.import_module(places[name]), name)
        points = self._entry_points()
        if name in points:
            return points[name].load()
        raise UnknownName(self.kind, name, self.names())

    def items(self) -> list[tuple[str, Any]]:
        """All (name, object) pairs; imports every module."""
        return [(name, self.get(name)) for name in self.names()]

    def _source(self, name: str) -> ast.Module | None:
        """The module's syntax tree; None for an entry point."""
        places = self._places()
        if name not in self.names():
            raise UnknownName(self.kind, name, self.names())
        folders: Iterable[str] = importlib.import_module(places[name]).__path__ if name in places else ()
        files = [Path(folder) / f"{name}.py" for folder in folders]
        return next((ast.parse(file.read_text()) for file in files if file.exists()), None)

    def describe(self, name: str) -> str:
        """First line of the module's docstring, read from its source without importing it."""
        tree = self._source(name)
        if tree is None:
            return f"from the entry point {self._entry_points()[name].value}"
        return (ast.get_docstring(tree) or "").partition("\n")[0]

    def told(self, name: str) -> dict[str, str]:
        """Texts that the object's decorator is given, such as a metric's question, read without importing it."""
        tree = self._source(name)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
        calls = [call for f in functions if f.name == name for call in f.decorator_list if isinstance(call, ast.Call)]
        found: dict[str, str] = {}
        for keyword in (keyword for call in calls for keyword in call.keywords):
            if keyword.arg and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                found[keyword.arg] = keyword.value.value
        return found

    def literal(self, name: str, attribute: str) -> Any:
        """A constant that a class of the module sets, read without importing it; None where none does."""
        tree = self._source(name)
        if tree is None:
            return getattr(self.get(name), attribute, None)
        bodies = [node for top in tree.body if isinstance(top, ast.ClassDef) for node in top.body]
        for node in bodies:
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
                continue
            if any(isinstance(target, ast.Name) and target.id == attribute for target in node.targets):
                return node.value.value
        return None


objectives = Registry("objective", "expunge.objectives")
metrics = Registry("metric", "expunge.metrics")
attacks = Registry("attack", "expunge.attacks")
policies = Registry("policy", "expunge.evaluation.policies", plural="policies")
suites = Registry("suite", "expunge.evaluation.suites")
controls = Registry("control", "expunge.engine.controls")
alternatives = Registry("alternative", "expunge.engine.alternatives")
stores = Registry("store", "expunge.data.stores")
learners = Registry("learner", "expunge.targets.learners")
accountants = Registry("accountant", "expunge.accounting.accountants")
recipes = Registry("recipe", "expunge.engine.recipes")
methods = Registry(
    *("method", "expunge.methods.exact", "expunge.methods.certified", "expunge.methods.gradient"),
    "expunge.methods.asking",
    "expunge.retrieval.methods",
)
