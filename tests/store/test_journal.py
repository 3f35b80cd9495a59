"""What an event looks like is said in one place: anything else is a torn end, or damage with its
line."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from normbench.store.files import Damaged
from normbench.store.journal import JOURNALS, event, events, fault_of_an_ended_run

EVAL = {
    "event": "eval",
    "step": 0,
    "epoch": 0.0,
    "examples": 0,
    "train_loss": None,
    "val_loss": 2.3,
    "val_accuracy": 0.1,
    "train_seconds": 0.0,
    "train_accuracy": 0.1,
}
EPOCH = {"event": "epoch", "step": 0, "epoch": 0, "batches_sha256": "ü"}
TEST = {"event": "test", "step": 5, "test_loss": 1.0, "test_accuracy": 0.5}
DIVERGED = {"event": "diverged", "step": 3}
PROBE = {"event": "probe", "step": 4, "dead_units": [0.0, None, 1]}


def lines(*found: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in found)


def test_events_read_back_with_what_a_later_version_adds_to_them():
    told = [EVAL | {"added": [1, {"x": 2}]}, EPOCH, DIVERGED, TEST]
    assert events("metrics", lines(*told), "m") == told
    assert events("probes", lines(PROBE, PROBE), "p") == [PROBE, PROBE]
    assert event("probes", lines(PROBE).strip(), "p") == PROBE


@pytest.mark.parametrize("cut", range(1, len(lines(EPOCH))))
def test_a_last_line_cut_anywhere_is_left_out(cut):
    assert events("metrics", lines(EVAL, EPOCH)[:-cut], "m") == [EVAL]


@pytest.mark.parametrize("content", [b"", b'{"st', b"\xff"])
def test_a_journal_without_a_whole_line_is_empty(content):
    assert events("metrics", content, "m") == []


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in EVAL.items() if name != key}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (without("val_accuracy"), "val_accuracy: Field required"),
        (without("step"), "step: Field required"),
        (without("event"), "event"),
        (EVAL | {"event": "lunch"}, "lunch"),
        (EVAL | {"step": -1}, "step"),
        (EVAL | {"step": 2**70}, "step"),
        (EVAL | {"step": True}, "step"),
        (EVAL | {"step": 1.5}, "step"),
        (EVAL | {"val_accuracy": "0.9"}, "val_accuracy"),
        (EVAL | {"val_accuracy": [0.9]}, "val_accuracy"),
        (EVAL | {"val_loss": float("nan")}, "val_loss"),
        (EVAL | {"val_loss": 10**400}, "val_loss"),
        (EPOCH | {"batches_sha256": 3}, "batches_sha256"),
        ([EVAL], "should be an object"),
    ],
)
def test_what_is_no_event_is_damage_with_file_and_line(line, reason):
    with pytest.raises(Damaged, match=r"m\.jsonl:3 is damaged") as caught:
        events("metrics", lines(EVAL, EPOCH, line, TEST), "m.jsonl")
    assert reason in str(caught.value)
    assert "`normbench train` with its config" in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"dead_units": 1.0}, {"dead_units": [[1.0], [2.0]]}, {"dead_units": ["a"]}]
)
def test_a_quantity_is_a_list_of_numbers(change):
    with pytest.raises(Damaged, match=r"p:1 is damaged"):
        events("probes", lines(PROBE | change), "p")


@pytest.mark.parametrize("content", [b"\n\n", b'{"st\n', b"\x00\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_json_is_damage_too(content):
    with pytest.raises(Damaged, match="m:1 is damaged"):
        events("metrics", content, "m")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
changed = st.sampled_from([EVAL, EPOCH, TEST, DIVERGED, PROBE]).flatmap(
    lambda line: st.tuples(st.just(line), st.sampled_from(sorted(line)), values).map(
        lambda found: found[0] | {found[1]: found[2]}
    )
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(JOURNALS), st.binary() | st.lists(changed).map(lambda told: lines(*told)))
@example("metrics", b'{"event": "\\ud800", "step": 1}\n')
def test_no_bytes_raise_anything_else(kind, content):
    try:
        found = events(kind, content, "j")
    except Damaged:
        return
    assert all(line["step"] >= 0 for line in found)
    fault_of_an_ended_run(found)


@given(st.data())
def test_no_flipped_byte_raises_anything_else(data):
    content = bytearray(lines(EVAL, EPOCH, TEST))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(Damaged):
        events("metrics", bytes(content), "m")


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ([EVAL, EPOCH, TEST], None),
        ([EVAL, EPOCH, EVAL | {"step": 5}, TEST], None),
        ([DIVERGED], None),
        ([EVAL, EPOCH, EVAL | {"step": 5}, DIVERGED], None),
        ([], "neither"),
        ([EVAL, EPOCH], "neither"),
        ([EPOCH, TEST], "lacks the evaluation at step 0"),
        ([EVAL, EVAL | {"step": 5}, EVAL | {"step": 3}, TEST], "not in order"),
    ],
)
def test_without_a_seal_the_ends_and_the_order_are_looked_at(told, fault):
    found = fault_of_an_ended_run(told)
    assert (found is None) == (fault is None)
    assert fault is None or fault in str(found)
