"""Name -> component. A component is one file in its package: writing the file registers it.

The registry imports the modules of its package on first use, so nothing has to be listed by hand.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from normbench import components
from normbench.components import UnknownName
from normbench.errors import suggest

__all__ = ["Registry", "UnknownName", "plain_name", "summary"]

T = TypeVar("T")


def plain_name(name: str) -> str:
    """``Batch-Norm`` as ``batchnorm``: how names are compared.

    A trailing 1d, 2d or 3d, as PyTorch's classes have it, does not count.
    """
    return re.sub(r"[-_ ]+|[123]d$", "", name.lower())


class Registry(Generic[T]):
    """The components of one kind, found in the modules of ``package``.

    ``kind`` is the word used in messages ("norm"); ``package`` is imported lazily, and so is what
    other packages offer as entry points of ``group``, which is named after the package unless
    given. A component may also be named by reference, ``file.py:Name``. What a reference or an
    entry point leads to is a component as it stands, unless an ``adapter`` says how to make one of
    it. An entry point that cannot be loaded is told to who asks for it, and to nobody else.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        group: str = "",
    ):
        self.kind = kind
        self._adapt: Callable[[Any, str], T] = lambda item, _: item
        self._installed: dict[str, str | None] = {}
        self._broken: dict[str, components.NotLoaded] = {}
        self._referenced: dict[tuple[str, str | None], T] = {}
        self._package = package
        self._group = group or ".".join(package.split(".")[:2])  # normbench.models of models.kinds
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._discovered = False

    def register(self, name: str, *, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
        """Decorator: make the component known as ``name``. Raises ValueError if a name is taken.

        A cell of a notebook that is run again replaces what it registered before.
        """

        def add(item: T) -> T:
            before = self._items.get(name)
            if before is not None and _place(before) == _place(item) and _of_script(item):
                self._forget(name)
            for word in (name, *aliases):
                if word in self._items or word in self._aliases:
                    raise ValueError(f"{self.kind} {word!r} is registered twice")
            self._items[name] = item
            self._aliases.update(dict.fromkeys(aliases, name))
            return item

        return add

    def adapter(self, adapt: Callable[[Any, str], T]) -> Callable[[Any, str], T]:
        """Decorator: how a component is made of what a reference leads to, and the reference.

        The function raises TypeError with a sentence where none can be made. It stands in a module
        of the package, or of one that the package imports.
        """
        self._adapt = adapt
        return adapt

    def guests(self) -> list[tuple[str, tuple[str, ...], T]]:
        """Name, aliases and component of everything that no file of the package registered."""
        return [
            (name, tuple(a for a, other in self._aliases.items() if other == name), item)
            for name, item in self._items.items()
            if not f"{_place(item)[0]}.".startswith(f"{self._package}.")
        ]

    def _forget(self, name: str) -> None:
        del self._items[name]
        self._aliases = {alias: other for alias, other in self._aliases.items() if other != name}

    def canonical(self, name: str) -> str:
        """The registered name behind ``name`` or one of its aliases. Raises UnknownName.

        Without regard to case, hyphens and underscores, so that BatchNorm and batch_norm are known.
        """
        self._discover()
        if components.is_reference(name):
            self._load(name)
            return name
        word = name
        if name not in self:
            known = {plain_name(word): word for word in (*self._items, *self._aliases)}
            word = known.get(plain_name(name), name)
        word = self._aliases.get(word, word)
        if word in self._broken and word not in self._items:
            raise self._broken[word]
        if word not in self._items:
            message = f"unknown {self.kind} {name!r}"
            hint = suggest(name, self.names())
            if name.endswith(".py"):
                hint = f"say which {self.kind} of that file: {name}:NAME"
            raise UnknownName(message, hint)
        return word

    def __getitem__(self, name: str) -> T:
        if components.is_reference(name):
            return self._load(name)
        return self._items[self.canonical(name)]

    def source_sha256(self, name: str) -> str | None:
        """SHA-256 (hex) of the file behind a reference or an installed component; else None."""
        if components.is_reference(name):
            return components.load(name).sha256
        return self._installed.get(self.canonical(name))

    def _load(self, reference: str) -> T:
        """The component behind a reference, the same object as long as its file is the same."""
        self._discover()
        component = components.load(reference)
        key = (reference, component.sha256)
        if key not in self._referenced:
            try:
                self._referenced[key] = self._adapt(component.target, reference)
            except TypeError as error:
                raise components.NotLoaded(f"{reference}: {error}") from None
        return self._referenced[key]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._items or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """The registered names, sorted, without aliases."""
        self._discover()
        return sorted(self._items)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            for entry_point in importlib.metadata.entry_points(group=self._group):
                if entry_point.name not in self:
                    self._install(entry_point.name, entry_point.value)
        except BaseException:
            self._discovered = False  # or half a registry would pass for a whole one
            raise

    def _install(self, name: str, reference: str) -> None:
        """Register what an entry point leads to, ``package.module:Name``."""
        try:
            self.register(name)(self._load(reference))
            self._installed[name] = components.load(reference).sha256
        except components.NotLoaded as error:
            message = f"{self.kind} {name!r} is installed, but cannot be loaded: {error.message}"
            self._broken[name] = components.NotLoaded(message, error.hint)


def _place(item: object) -> tuple[str, str]:
    """Module and name of a class or function, or of an instance's class."""
    owner = item if hasattr(item, "__qualname__") else type(item)
    return str(owner.__module__), str(getattr(owner, "__qualname__", ""))


def _of_script(item: object) -> bool:
    return _place(item)[0] == "__main__"


def summary(item: object) -> str:
    """The first line of a component's docstring, for ``normbench list``."""
    return (item.__doc__ or "").strip().splitlines()[0] if item.__doc__ else ""
