"""The registry finds a component because its file is there, and helps with a wrong name."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from normbench.data import DATASETS
from normbench.errors import suggest
from normbench.exporters import EXPORTERS
from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.probes import PROBES
from normbench.registry import Registry, UnknownName, summary

Make = Callable[..., Registry]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a package ``shop`` of the files given as name=source, and its registry TOOLS."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files: str) -> Registry:
        (tmp_path / "shop").mkdir()
        head = "from normbench.registry import Registry\nTOOLS = Registry('tool', 'shop')\n"
        (tmp_path / "shop" / "__init__.py").write_text(head)
        for name, source in files.items():
            (tmp_path / "shop" / f"{name}.py").write_text("from shop import TOOLS\n" + source)
        import shop

        return shop.TOOLS

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


SAW = dedent(
    '''
    @TOOLS.register("saw", aliases=("handsaw",))
    class Saw:
        """Cuts wood.

        Slowly.
        """
    '''
)
AXE = "TOOLS.register('axe')(object())\n"


def test_a_file_in_the_package_is_a_component(shop: Make):
    tools = shop(saw=SAW, axe=AXE)
    assert tools.names() == ["axe", "saw"] == list(tools)
    assert tools["saw"].__name__ == "Saw"


def test_the_package_is_imported_at_the_first_question(shop: Make):
    tools = shop(saw=SAW)
    assert "shop.saw" not in sys.modules
    assert "saw" in tools
    assert "shop.saw" in sys.modules


def test_an_alias_means_the_same_component_and_is_not_listed(shop: Make):
    tools = shop(saw=SAW)
    assert tools["handsaw"] is tools["saw"]
    assert tools.canonical("handsaw") == "saw"
    assert "handsaw" in tools
    assert tools.names() == ["saw"]


def test_an_unknown_name_is_refused_with_the_nearest_and_all_known(shop: Make):
    tools = shop(saw=SAW, axe=AXE)
    with pytest.raises(UnknownName) as caught:
        tools["sow"]
    assert caught.value.message == "unknown tool 'sow'"
    assert caught.value.hint == "did you mean 'saw'?  known: axe, saw"
    assert "sow" not in tools


@pytest.mark.parametrize("word", ["saw", "handsaw"])
def test_a_name_is_taken_once(shop: Make, word: str):
    tools = shop(saw=SAW)
    assert "saw" in tools
    with pytest.raises(ValueError, match=f"tool '{word}' is registered twice"):
        tools.register(word)(object())
    with pytest.raises(ValueError, match="registered twice"):
        tools.register("new", aliases=(word,))(object())


def test_a_broken_component_is_reported_however_often_one_asks(shop: Make):
    tools = shop(axe=AXE, broken="raise RuntimeError('rust')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="rust"):
            tools.names()


def test_a_summary_is_the_first_line_of_the_docstring(shop: Make):
    assert summary(shop(saw=SAW)["saw"]) == "Cuts wood."
    assert summary(type("Bare", (), {})) == ""


def test_without_a_near_name_the_hint_only_lists_what_is_known():
    assert suggest("xyz", ["b", "a"]) == "known: a, b"
    assert suggest("xyz", []) == ""


@pytest.mark.parametrize("registry", [NORMS, MODELS, DATASETS, EXPORTERS], ids=lambda r: r.kind)
def test_every_component_says_what_it_is(registry: Registry):
    assert len(registry.names()) > 1
    for name in registry:
        assert len(summary(registry[name])) > 10, name


def test_every_probe_says_what_it_measures():
    for name in PROBES:
        assert "[L]" in (PROBES[name].measure.__doc__ or ""), name


# --- what other packages install ---


def installed(site: Path, group: str, source: str, **points: str) -> None:
    """A package ``elsewhere`` with the module ``parts`` and entry points, name=Name in it."""
    (site / "elsewhere").mkdir()
    (site / "elsewhere" / "__init__.py").write_text("")
    (site / "elsewhere" / "parts.py").write_text(source)
    about = site / "elsewhere-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    lines = [f"{name} = elsewhere.parts:{target}" for name, target in points.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "elsewhere"]:
        del sys.modules[name]


def test_what_another_package_installs_is_a_component_with_the_hash_of_its_file(site, shop: Make):
    tools = shop(saw=SAW)
    installed(site, "shop", "class Plane: pass\nclass Other: pass\n", plane="Plane", saw="Other")
    assert tools.names() == ["plane", "saw"]
    assert tools["plane"].__name__ == "Plane"
    assert tools["saw"].__name__ == "Saw"  # a name of ours stays ours
    file = site / "elsewhere" / "parts.py"
    assert tools.source_sha256("plane") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert tools.source_sha256("saw") is None


def test_an_installed_component_that_cannot_be_loaded_is_told_to_who_asks_for_it(site, shop: Make):
    tools = shop(saw=SAW)
    installed(site, "shop", "raise OSError('no such disk')\n", plane="Plane")
    assert tools.names() == ["saw"]
    with pytest.raises(UnknownName) as caught:
        tools["plane"]
    assert caught.value.message == (
        "tool 'plane' is installed, but cannot be loaded: elsewhere.parts raises OSError: no such "
        "disk"
    )
    assert "line 1, in <module>" in caught.value.hint
    assert "importlib" not in caught.value.hint
