"""What a journal holds: the one place that says what an event looks like.

A journal is a file of one JSON object a line, each with its kind (``event``) and the updates made
so far (``step``). A last line without its end was cut short by a crash and is left out; anything
else that is not an event is damage, which is told with its line.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as s

from normbench.store.files import Damaged

MOST_STEPS = 2**53  # what a float holds exactly, and an int64 without a doubt
_STEP = s.int_schema(strict=True, ge=0, le=MOST_STEPS)
_NUMBER = s.nullable_schema(s.float_schema(strict=True, allow_inf_nan=False))
_TEXT = s.str_schema(strict=True)
_QUANTITY = s.list_schema(_NUMBER, strict=True)


def _event(kind: str, required: dict[str, CoreSchema], **optional: CoreSchema) -> CoreSchema:
    """An event of one kind; what a later version adds to it is let through."""
    fields = {"event": s.literal_schema([kind]), "step": _STEP, **required}
    return s.typed_dict_schema(
        {name: s.typed_dict_field(schema) for name, schema in fields.items()}
        | {name: s.typed_dict_field(schema, required=False) for name, schema in optional.items()},
        extra_behavior="allow",
    )


_METRICS = s.tagged_union_schema(
    {
        "eval": _event(
            "eval",
            dict.fromkeys(("val_loss", "val_accuracy", "train_loss", "train_seconds"), _NUMBER),
            train_accuracy=_NUMBER,
            epoch=_NUMBER,
            examples=_NUMBER,
        ),
        "epoch": _event("epoch", {"epoch": _STEP, "batches_sha256": _TEXT}),
        "test": _event(
            "test",
            dict.fromkeys(("test_loss", "test_accuracy"), _NUMBER),
            val_accuracy_precise=_NUMBER,
            misclassified=s.list_schema(s.list_schema(_STEP, min_length=2, max_length=2)),
        ),
        "diverged": _event("diverged", {}),
    },
    discriminator="event",
)
_PROBE = s.typed_dict_schema(
    {
        "event": s.typed_dict_field(s.literal_schema(["probe"])),
        "step": s.typed_dict_field(_STEP),
    },
    extra_behavior="allow",
    extras_schema=_QUANTITY,
)
_ONE = {"metrics": SchemaValidator(_METRICS), "probes": SchemaValidator(_PROBE)}
_ALL = {
    "metrics": SchemaValidator(s.list_schema(_METRICS)),
    "probes": SchemaValidator(s.list_schema(_PROBE)),
}
JOURNALS = tuple(_ONE)
"""The names of a run's journals, without their ending."""


def events(kind: str, content: bytes, path: Path | str) -> list[dict[str, Any]]:
    """The events in the content of a journal, ``metrics`` or ``probes``. Raises Damaged."""
    whole = content[: content.rfind(b"\n")] if b"\n" in content else b""
    if not whole:
        return []
    try:
        return _ALL[kind].validate_json(b"[" + whole.replace(b"\n", b",") + b"]")
    except ValidationError as error:
        raise _located(kind, whole, path, error) from None


def event(kind: str, line: bytes, path: Path | str) -> dict[str, Any]:
    """One line of a journal. Raises Damaged."""
    try:
        return _ONE[kind].validate_json(line)
    except ValidationError as error:
        raise Damaged(path, _reason(error)) from None


def fault_of_an_ended_run(metrics: list[dict[str, Any]]) -> str | None:
    """Why these cannot be all the events of a run that ended; None where they may be.

    What can be told without a checksum: evaluated at step 0 unless it diverged there, tested or
    diverged at the end, in order.
    """
    steps = [event["step"] for event in metrics if event["event"] != "diverged"]
    last = metrics[-1]["event"] if metrics else ""
    if last not in ("test", "diverged"):
        return "its last line is neither the test nor a divergence"
    if last == "test" and not any(e["event"] == "eval" and e["step"] == 0 for e in metrics):
        return "it lacks the evaluation at step 0"
    if steps != sorted(steps):
        return "its lines are not in order"
    return None


def _located(kind: str, whole: bytes, path: Path | str, error: ValidationError) -> Damaged:
    """The damage with the line that it is in."""
    for number, line in enumerate(whole.split(b"\n"), 1):
        try:
            _ONE[kind].validate_json(line)
        except ValidationError as invalid:
            return Damaged(f"{path}:{number}", _reason(invalid))
    return Damaged(path, _reason(error))


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    key = ".".join(map(str, first["loc"][1:] if len(first["loc"]) > 1 else first["loc"]))
    return f"{key}: {first['msg']}" if key else first["msg"]


class Journal:
    """A journal that grows by a line at a time, and the sum of what it should hold."""

    def __init__(self, path: Path, content: bytes):
        self._file = path.open("ab", buffering=0)  # whoever looks on sees a line at once
        self._digest = hashlib.sha256(content)
        self._bytes = self._synced = len(content)

    def append(self, line: bytes) -> None:
        """Raises OSError."""
        written = self._file.write(line)
        if written != len(line):  # the disk is full, which the rest will say
            self._file.write(line[written:])
        self._digest.update(line)
        self._bytes += len(line)

    def mark(self) -> dict[str, Any]:
        """How long it should be, and the sum."""
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}

    def sync(self) -> None:
        """Bring every line to the disk that is not there. Raises OSError."""
        if self._synced != self._bytes:
            os.fsync(self._file.fileno())
            self._synced = self._bytes

    def close(self) -> None:
        """The same, and no line more. Raises OSError."""
        try:
            self.sync()
        finally:
            self._file.close()
