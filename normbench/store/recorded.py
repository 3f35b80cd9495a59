"""What the config in an experiment's record must be for who reads it back.

Not the schema by which a config is trained, which reads no config of an earlier normbench: of each
key that tables, charts and pages look at, the type that they rely on. A key that they need not have
may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as s

from normbench.dotted import flatten_config, tuned_key

_TEXT = s.str_schema(strict=True)
_NUMBER = s.float_schema(strict=True, allow_inf_nan=False)
_COUNT = s.int_schema(strict=True, ge=0, le=2**53)
_SEED = s.int_schema(strict=True, ge=0, le=2**63 - 1)
_SHARE = s.float_schema(strict=True, ge=0, le=1)
_OBJECT = s.dict_schema(_TEXT, s.any_schema())
_MANY = s.int_schema(strict=True, ge=1, le=10**6)


def _section(fields: Mapping[str, CoreSchema], *required: str, **more: Any) -> CoreSchema:
    """A mapping with these keys, as far as they are there, and any other."""
    known = {
        key: s.typed_dict_field(schema, required=key in required) for key, schema in fields.items()
    }
    return s.typed_dict_schema(known, extra_behavior="allow", **more)


def _seeds(*more: CoreSchema) -> CoreSchema:
    """How many, or which ones."""
    listed = s.list_schema(_SEED, strict=True, min_length=1)
    return s.union_schema(
        [_MANY, listed, *more],
        custom_error_type="seeds",
        custom_error_message="Input should be a number of seeds, or a list of them",
    )


def _optional(*names: str) -> dict[str, CoreSchema]:
    return dict.fromkeys(names, s.nullable_schema(_TEXT))


VERDICT = s.nullable_schema(
    _section(
        {
            "metric": s.nullable_schema(
                s.literal_schema(["auc", "val_accuracy", "test_accuracy", "steps_to_target"])
            ),
            "similar_within": s.nullable_schema(
                s.float_schema(strict=True, gt=0, allow_inf_nan=False)
            ),
        }
    )
)
"""What judges: see ``analysis.rule.VerdictRule``."""

_CONFIG = SchemaValidator(
    _section(
        {
            "data": _section(
                {"dataset": _TEXT, "validation": s.nullable_schema(_NUMBER), **_optional("path")}
            ),
            "model": _section(_optional("kind", "name", "init", "activation")),
            "norms": s.list_schema(_section(_optional("kind", "name")), strict=True),
            "baseline": _TEXT,
            "training": _section(_optional("precision")),
            "target": _section(
                {
                    "val_accuracy": s.list_schema(_SHARE, strict=True, min_length=1),
                    "from": _TEXT,
                    "pilot_seeds": _COUNT,
                }
            ),
            "verdict": VERDICT,
            "seeds": _seeds(
                _section(dict.fromkeys(("from", "to", "step"), _MANY), "from", "to", "step")
            ),
            "sweep": s.nullable_schema(s.dict_schema(_TEXT, s.list_schema(s.any_schema()))),
            "tune": s.nullable_schema(
                _section(
                    {"seeds": _seeds(), **_optional("search")},
                    "seeds",
                    extras_schema=s.list_schema(_NUMBER, strict=True, min_length=1),
                )
            ),
            "report": s.nullable_schema(_section({"misclassified": _COUNT})),
            "runtime": s.nullable_schema(
                _section({**_optional("device"), "threads": s.nullable_schema(_COUNT)})
            ),
        }
    )
)


def fault_of_config(config: Mapping[str, Any]) -> str:
    """What keeps the config of a record from being read; "" where nothing does."""
    try:
        _CONFIG.validate_python(config)
    except ValidationError as error:
        return f"config.{reason(error)}"
    seeds, sweep, tuned = config.get("seeds"), config.get("sweep") or {}, tuned_key(config)
    target = config.get("target")
    if target is not None and not (
        "val_accuracy" in target or {"from", "pilot_seeds"} <= set(target)
    ):
        return "config.target: it names no accuracy"
    if isinstance(seeds, Mapping) and seeds["from"] > seeds["to"]:
        return f"config.seeds: from {seeds['from']} to {seeds['to']}"
    if plain := [key for key in sweep if "." not in key]:  # it would be a column of the runs
        return f"config.sweep: {plain[0]!a} is no key of a section"[:300]
    if config.get("tune") and tuned not in flatten_config(config):
        return "config.tune: it names no key of the config"
    return ""


def reason(error: ValidationError) -> str:
    """The first thing that is wrong: the dotted key, and why."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    key = ".".join(map(str, first["loc"]))
    return f"{key}: {first['msg']}" if key else first["msg"]
