"""The scripts of a page are put together once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import vl_convert

from normbench.report import scripts


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NORMBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda: "one </script> two")
    scripts.library.cache_clear()
    yield tmp_path / "cache"
    scripts.library.cache_clear()


def test_they_are_made_safe_kept_and_taken_from_there(cache, monkeypatch):
    assert scripts.library() == "one <\\/script> two"
    scripts.library.cache_clear()
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda: pytest.fail("made again"))
    assert scripts.library() == "one <\\/script> two"


def test_an_emptied_file_is_made_again(cache):
    scripts.library()
    (kept,) = cache.glob("vega-*.js")
    kept.write_text("")
    scripts.library.cache_clear()
    assert scripts.library() == "one <\\/script> two"
    assert kept.read_text() == "one <\\/script> two"
