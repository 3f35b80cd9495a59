"""A component by reference: ``package.module:Name`` or ``file.py:Name`` -> the object.

Loading a reference runs its code. The SHA-256 of the source is part of a run's identity, so that an
edited file makes new runs; what the file imports besides is not in it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from normbench import vision
from normbench.errors import suggest

REFERENCE = re.compile(
    r"(?P<home>[^:\s][^:]*(?:\.py)?|[A-Za-z]:[^:]+\.py):(?P<name>[A-Za-z_]\w*)\Z"
)
"""``home:Name``; the second form has the drive of a Windows path."""


class UnknownName(LookupError):
    """A name that no component carries. ``hint`` holds the remedy."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(f"{message}\n{hint}")
        self.message, self.hint = message, hint


class NotLoaded(UnknownName):
    """A reference that leads nowhere, or whose code raised: then the hint is their traceback."""


@dataclass(frozen=True)
class Component:
    """What a reference means. sha256: of the source file (hex); None where there is none."""

    target: Any
    reference: str
    sha256: str | None


def is_reference(name: str) -> bool:
    """Whether ``name`` says where code is, rather than what it is called."""
    return REFERENCE.match(name) is not None


def is_file_reference(name: str) -> bool:
    """Whether ``name`` is ``file.py:Name``."""
    return _in_file(name) is not None


def _in_file(reference: str) -> tuple[Path, str] | None:
    """(file, name) of ``file.py:Name``."""
    match = REFERENCE.match(reference)
    if match is None or not match["home"].endswith(".py"):
        return None
    return Path(match["home"]), match["name"]


def anchored(reference: str, base: Path) -> str:
    """The same reference, its file's path absolute: relative ones count from ``base``."""
    inside = _in_file(reference)
    return f"{(base / inside[0].expanduser()).resolve()}:{inside[1]}" if inside else reference


def short(reference: str) -> str:
    """The name at the end of a reference: what tables call the component."""
    match = REFERENCE.match(reference)
    return match["name"] if match else reference


def relocated(reference: str) -> str:
    """The same with the file's name alone: what does not depend on where it lies."""
    inside = _in_file(reference)
    return f"{inside[0].name}:{inside[1]}" if inside else reference


def source_sha256(reference: str) -> str | None:
    """SHA-256 (hex) of the file a reference names, without running it; None for a module's."""
    inside = _in_file(reference)
    if inside is None:
        return None
    try:
        return hashlib.sha256(inside[0].read_bytes()).hexdigest()
    except OSError as error:
        raise NotLoaded(f"{inside[0]} cannot be read ({error.strerror})") from None


def imports_sha256(reference: str) -> str | None:
    """SHA-256 (hex) over what a reference's file imports from its own folder, files of files too.

    Read from the import statements, wherever they stand, without running anything; the file itself
    is not in it. None for a module's reference, and where there is nothing of the kind.
    """
    inside = _in_file(reference)
    if inside is None:
        return None
    first = inside[0].expanduser().resolve()
    contents: dict[Path, bytes] = {}
    left = [first]
    while left:
        path = left.pop()
        with suppress(OSError, SyntaxError, ValueError):
            contents[path] = path.read_bytes()
            near = _imported_from(first.parent, ast.parse(contents[path]))
            left += [other for other in near if other not in contents and other not in left]
    del contents[first]
    if not contents:
        return None
    digest = hashlib.sha256()
    for path in sorted(contents):
        digest.update(path.relative_to(first.parent).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(contents[path]).digest())
    return digest.hexdigest()


def _imported_from(folder: Path, tree: ast.Module) -> list[Path]:
    """The files below ``folder`` that a module's import statements may name."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            names |= {home, *(f"{home}.{alias.name}".strip(".") for alias in node.names)}
    files = []
    for name in sorted(names - {""}):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            path = folder.joinpath(*parts[:count])
            files += [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    return files


def load(reference: str) -> Component:
    """The component behind a reference. Raises NotLoaded.

    A file is imported once for each content; the folder that it lies in can be imported from. It
    may import torchvision whatever its build, see ``vision``.
    """
    try:
        return _loaded(reference)
    except NotLoaded as error:
        if not vision.refused(error.__cause__):
            raise
    vision.torchvision()
    return _loaded(reference)


def _loaded(reference: str) -> Component:
    match = REFERENCE.match(reference)
    if match is None:
        raise NotLoaded(
            f"{reference!r} is no reference", "write file.py:Name or package.module:Name"
        )
    home, name = match["home"], match["name"]
    digest: str | None
    if home.endswith(".py"):
        path = Path(home).expanduser().resolve()
        if not path.is_file():
            near = [f.name for f in path.parent.glob("*.py")] if path.parent.is_dir() else []
            raise NotLoaded(f"there is no file {path}", suggest(path.name, near) if near else "")
        module, digest = _module_of(path)
    else:
        with _their_own_errors(home):
            try:
                module = importlib.import_module(home)
            except ModuleNotFoundError as error:
                if error.name and (home == error.name or home.startswith(f"{error.name}.")):
                    hint = "install it, or give the path of a file: file.py:Name"
                    raise NotLoaded(f"there is no module {error.name!r}", hint) from None
                raise
        digest = _digest_of(module)
    if not hasattr(module, name):
        defined = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise NotLoaded(f"{home} defines no {name!r}", suggest(name, defined) if defined else "")
    return Component(getattr(module, name), reference, digest)


def _module_of(path: Path) -> tuple[ModuleType, str]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = (
        f"_normbench_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{digest[:8]}"
    )
    if name in sys.modules:
        return sys.modules[name], digest
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # after what is installed: a file named torch.py hides nothing
    try:
        with _their_own_errors(str(path)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module, digest


def _digest_of(module: ModuleType) -> str | None:
    try:
        file = inspect.getsourcefile(module)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    except (TypeError, OSError):
        return None


@contextmanager
def _their_own_errors(home: str) -> Iterator[None]:
    try:
        yield
    except NotLoaded:
        raise
    except (Exception, SystemExit) as error:
        raise NotLoaded(f"{home} raises {summary_of(error)}", their_frames(error)) from error


def summary_of(error: BaseException) -> str:
    """``ValueError: first line``, the way Python ends a traceback."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def their_frames(error: BaseException) -> str:
    """The traceback less the frames of this package, of imports, and of PyTorch's modules.

    PyTorch's stay where there are no others, since an error without any frame is one of ours.
    """
    own = str(Path(__file__).parent)
    torch_homes = [os.sep + os.path.join("torch", at) for at in (f"nn{os.sep}", "overrides.py")]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((own, str(Path(importlib.__file__).parent), "<frozen"))
    ]
    theirs = [f for f in frames if not any(home in f.filename for home in torch_homes)]
    return "".join(traceback.format_list(theirs or frames)).rstrip()
