"""What a page carries to draw its charts: the scripts, and the charts' rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from normbench.data.folders import cache_root
from normbench.errors import StoreError
from normbench.store.files import write_atomically


@lru_cache(maxsize=1)
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, safe to stand within a page.

    Kept in the cache: to put it together takes as long as importing torch.
    """
    path = cache_root(lambda _: None) / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError, UnicodeError):
        if kept := path.read_text(encoding="utf-8"):
            return kept
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # it has a default
    # Within a string of JavaScript the two mean the same; a page ends its script at the former.
    bundle = bundle.replace("</script", "<\\/script")
    with suppress(StoreError):
        write_atomically(path, bundle)
    return bundle


def packed(specs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The rows of charts taken out of their specifications: name -> fields and rows.

    Each table is there once, and in it each field's name; half of a page would be names else.
    """
    tables: dict[str, Any] = {}
    for spec in specs:
        for name, rows in spec.pop("datasets", {}).items():
            fields = list(dict.fromkeys(field for row in rows for field in row))
            values = [[row.get(field) for field in fields] for row in rows]
            tables[name] = {"fields": fields, "rows": values}
    return tables
