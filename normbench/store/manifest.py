"""What a manifest and a plan may hold, whoever wrote them: the types of every key that is read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, from_json
from pydantic_core import core_schema as s

from normbench.constants import SCHEMA
from normbench.errors import StoreError
from normbench.store.files import Damaged
from normbench.store.journal import MOST_STEPS
from normbench.store.recorded import VERDICT, fault_of_config, reason

MANIFEST_KEYS = ("state", "norm", "method", "seed", "context", "data")
"""What every manifest of a run that has begun holds."""

# Names reach the terminal and the page: no control characters, none that turn the reading order.
_LABEL = s.str_schema(strict=True, max_length=200, pattern=r"^[^\p{C}\p{Zl}\p{Zp}]*$")
_FOLDER = s.str_schema(strict=True, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._=+-]*$")
_TEXT = s.str_schema(strict=True)
_WHOLE = s.int_schema(strict=True, ge=0, le=MOST_STEPS)
_SEED = s.int_schema(strict=True, ge=0, le=2**63 - 1)
_NUMBER = s.nullable_schema(s.float_schema(strict=True, allow_inf_nan=False))
_OBJECT = s.dict_schema(s.str_schema(), s.any_schema())
_TUNED = s.dict_schema(s.str_schema(), s.float_schema(strict=True, allow_inf_nan=False))
_LENGTH = s.typed_dict_schema(
    {"bytes": s.typed_dict_field(_WHOLE), "sha256": s.typed_dict_field(_TEXT)}
)
_CHECKPOINT = s.typed_dict_schema(
    {
        "step": s.typed_dict_field(_WHOLE),
        "bytes": s.typed_dict_field(_WHOLE, required=False),
        "sha256": s.typed_dict_field(_TEXT),
        "journals": s.typed_dict_field(s.dict_schema(s.str_schema(), _LENGTH)),
    }
)
_SWAPS = s.typed_dict_schema(
    {
        "swapped": s.typed_dict_field(
            s.list_schema(
                s.typed_dict_schema(
                    {
                        "path": s.typed_dict_field(_TEXT),
                        "before": s.typed_dict_field(s.nullable_schema(_TEXT)),
                        "after": s.typed_dict_field(_TEXT),
                    }
                )
            )
        ),
        "kept": s.typed_dict_field(
            s.list_schema(
                s.typed_dict_schema(
                    {word: s.typed_dict_field(_TEXT) for word in ("path", "kind", "reason")}
                )
            )
        ),
        "reinitialized": s.typed_dict_field(s.list_schema(_TEXT)),
        "replaces": s.typed_dict_field(s.list_schema(_TEXT)),
    }
)


def _record(fields: dict[str, CoreSchema], *required: str) -> SchemaValidator:
    return SchemaValidator(
        s.typed_dict_schema(
            {
                name: s.typed_dict_field(schema, required=name in required)
                for name, schema in fields.items()
            },
            extra_behavior="allow",
        )
    )


_SCHEMA_NUMBER: dict[str, CoreSchema] = {"schema": s.int_schema(strict=True, le=SCHEMA)}
_RUN: dict[str, CoreSchema] = {
    "norm": _LABEL,
    "method": _TEXT,
    "seed": _SEED,
    "context": _TEXT,
    "role": _TEXT,
    "point": _OBJECT,
}
_MANIFEST = _record(
    {
        **_SCHEMA_NUMBER,
        **_RUN,
        "id": _TEXT,
        "state": s.literal_schema(["running", "finished", "diverged", "failed", "interrupted"]),
        "data": s.typed_dict_schema(
            {"dataset": s.typed_dict_field(_TEXT), "fingerprint": s.typed_dict_field(_TEXT)},
            extra_behavior="allow",
        ),
        "environment": _OBJECT,
        "reason": s.nullable_schema(_TEXT),
        "checkpoint_step": s.nullable_schema(_WHOLE),
        "checkpoints": s.list_schema(_CHECKPOINT),
        "changes": s.list_schema(_LABEL),
        "swaps": s.nullable_schema(_SWAPS),
        "own_terms": s.list_schema(_LABEL),
        **dict.fromkeys(("steps", "steps_done", "diverged_at"), s.nullable_schema(_WHOLE)),
        **dict.fromkeys(
            (
                *("batch_size", "num_classes", "validation_images"),
                *("parameters", "epochs_started"),
                *("train_seconds", "evaluate_seconds", "probe_seconds", "wall_seconds"),
            ),
            _NUMBER,
        ),
        **dict.fromkeys(("backbone_sha256", "batch_order_sha256"), s.nullable_schema(_TEXT)),
    },
    "schema",
)
_PLAN = _record(
    {
        **_SCHEMA_NUMBER,
        "config": _OBJECT,
        "given": s.nullable_schema(_OBJECT),
        "looked_at": s.nullable_schema(s.list_schema(_WHOLE)),
        "rules": s.nullable_schema(
            s.list_schema(
                s.typed_dict_schema(
                    {"seeds": s.typed_dict_field(_WHOLE), "verdict": s.typed_dict_field(VERDICT)}
                )
            )
        ),
        "runs": s.list_schema(
            s.typed_dict_schema(
                {
                    name: s.typed_dict_field(schema, required=False)
                    for name, schema in {**_RUN, "folder": _FOLDER, "tuned": _TUNED}.items()
                },
                extra_behavior="allow",
            )
        ),
    },
    *("schema", "config", "runs"),
)


def manifest(content: bytes, path: Path | str, keys: Collection[str] = ()) -> dict[str, Any]:
    """A run's manifest. Raises Damaged, also where it lacks one of ``keys``; see ``_read``."""
    parsed = _read(_MANIFEST, content, path)
    if lacks := sorted(set(keys) - parsed.keys()):
        raise Damaged(path, f"it lacks {lacks[0]!r}")
    return parsed


def plan(content: bytes, path: Path | str) -> dict[str, Any]:
    """The record of what was asked for. Raises Damaged; see ``_read``."""
    parsed = _read(_PLAN, content, path)
    if fault := fault_of_config(parsed["config"]):
        raise Damaged(path, fault)
    norms = {run.get("norm") for run in parsed["runs"]}
    baseline = parsed["config"].get("baseline")
    if baseline is not None and None not in norms and baseline not in norms:
        raise Damaged(path, f"config.baseline: no run is of {baseline!a}"[:300])
    return parsed


def _read(validator: SchemaValidator, content: bytes, path: Path | str) -> dict[str, Any]:
    """Raises Damaged, or StoreError when a newer normbench wrote it."""
    try:
        return validator.validate_json(content)
    except ValidationError as error:
        _refuse_newer(content, path)
        raise Damaged(path, reason(error)) from None


def _refuse_newer(content: bytes, path: Path | str) -> None:
    try:
        stated = from_json(content)
    except ValueError:
        return
    schema = stated.get("schema") if isinstance(stated, dict) else None
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer normbench (schema {schema}, this one reads up to "
            f"{SCHEMA})\n    upgrade normbench to read it"
        )
