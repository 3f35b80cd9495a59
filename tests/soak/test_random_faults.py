"""Many random damages and inputs: no wrong number without a word, no error but the project's own.

``pytest -m soak -n 0 -s tests/soak/test_random_faults.py``; ``--soak-tries`` sets how many.
"""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from scripted import diverges, finishes, play, probed
from tiny import TEXT, experiment

from normbench.config import load
from normbench.errors import NormbenchError
from normbench.report.answer import answer
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore, read_results
from normbench.store.journal import JOURNALS, events, fault_of_an_ended_run
from normbench.store.verify import verify

pytestmark = pytest.mark.soak

FUZZED = 50
"""Fuzzed inputs for each damage."""


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The content with one random thing wrong with it."""
    found = bytearray(content)
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(content)) if content else 0
    match rng.choice(["flip", "cut", "insert", "zeros", "digit", "lost line", "swapped", "empty"]):
        case "flip" if content:
            found[place] ^= 1 << rng.randrange(8)
        case "cut":
            del found[place:]
        case "insert":
            found[place:place] = rng.randbytes(3)
        case "zeros":
            found[place:] = bytes(len(content) - place)
        case "digit":
            digits = [i for i, letter in enumerate(content) if letter in b"0123456789"]
            if digits:
                found[rng.choice(digits)] = rng.choice(b"0123456789")
        case "lost line" if lines:
            del lines[rng.randrange(len(lines))]
            return b"".join(lines)
        case "swapped" if len(lines) > 1:
            one, other = rng.sample(range(len(lines)), 2)
            lines[one], lines[other] = lines[other], lines[one]
            return b"".join(lines)
        case _:
            return b""
    return bytes(found)


def test_of_damages_to_every_kind_of_file_none_shows_another_number_without_a_word(
    tmp_path, digits, pytestconfig
):
    def script(run):
        if (run.norm, run.seed) == ("rms", 1):
            return diverges(3, 5)
        end = 0.5 + 0.02 * run.seed + 0.1 * (run.norm == "batch")
        return finishes({0: 0.1, 5: end - 0.1, 12: end}, probes=[probed(0), probed(3)])

    play(tmp_path, experiment("norms=[none, batch, rms]", "seeds=3"), digits, script)
    store = ExperimentStore(tmp_path, "tiny")
    good = {p: p.read_bytes() for p in sorted(store.path.rglob("*")) if p.is_file()}
    good = {path: content for path, content in good.items() if not path.name.startswith(".")}
    kinds = sorted({path.name for path in good})
    want = ExperimentResult(read_results(tmp_path, "tiny")).to_dict()
    rng = random.Random(1)
    outcomes: Counter[str] = Counter()
    for number in range(pytestconfig.getoption("--soak-tries")):
        kind = kinds[number % len(kinds)]
        path = rng.choice([path for path in good if path.name == kind])
        new = None if rng.random() < 0.1 else damaged(rng, good[path])
        path.unlink() if new is None else path.write_bytes(new)
        place = f"{number}: {path.name}"
        try:
            found = read_results(tmp_path, "tiny")
            result = ExperimentResult(found)
            told = " ".join(found.notes) + " ".join(found.reasons.values())
            if result.to_dict() == want:
                outcomes["the right numbers"] += 1
            else:
                states = Counter(found.runs["state"])
                missing = states["damaged"] + states["interrupted"] + states["missing"]
                assert missing or told, place
                outcomes["told as damaged" if told else "told as interrupted"] += 1
            answer(result)
        except NormbenchError:
            outcomes["refused"] += 1
        try:
            faults = list(verify(store))
        except NormbenchError as error:
            faults = [str(error)]
        if new != good[path] and not faults:
            outcomes["unseen by doctor"] += 1
            outcomes[f"unseen by doctor: {kind}"] += 1
        path.write_bytes(good[path])
    assert ExperimentResult(read_results(tmp_path, "tiny")).to_dict() == want
    print(f"\n{number + 1} damages to {', '.join(kinds)}: {dict(outcomes)}")


WORDS = [
    *("norms=", "seeds=", "name=", "model.depth=", "optimizer.lr=", "sweep=", "tune=", "data="),
    *("training.steps=", "target=", "verdict=", "probes=", "runtime.threads=", "baseline=", "x.y="),
    *(
        "[none, batch]",
        "{kind: group, groups: 2}",
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "- ",
        "&a",
        "*a",
    ),
    *(
        "!!python/object:os.system",
        "1e400",
        ".nan",
        "-1",
        "0",
        "null",
        "true",
        "''",
        '"',
        "\n",
        "\t",
    ),
    *(
        "\ud800",
        "\u202e",
        "\x00",
        "\x1b[31m",
        "é",
        "file.py:Net",
        "../..",
        "a" * 300,
        "9" * 40,
        "#",
    ),
]
LINES = [
    b'{"event": "eval", "step": 0, "epoch": 0.0, "examples": 0, "train_loss": null, '
    b'"val_loss": 2.3, "val_accuracy": 0.1, "train_seconds": 0.0}\n',
    b'{"event": "epoch", "step": 0, "epoch": 0, "batches_sha256": "x"}\n',
    b'{"event": "probe", "step": 4, "dead_units": [0.0, null, 1]}\n',
    b'{"event": "test", "step": 5, "test_loss": 1.0, "test_accuracy": 0.5}\n',
    b'{"event": "diverged", "step": 3}\n',
]


def test_fuzzed_configs_overrides_and_journals_raise_nothing_but_the_projects_own(pytestconfig):
    rng = random.Random(2)
    outcomes: Counter[str] = Counter()

    def words() -> str:
        return "".join(rng.choices(WORDS, k=rng.randint(1, 6)))

    def config() -> None:
        lines = TEXT.splitlines()
        for _ in range(rng.randint(1, 3)):
            del lines[rng.randrange(len(lines))]
            lines.insert(rng.randrange(len(lines)), words())
        text = "\n".join(lines)
        place = rng.randrange(len(text))
        load(text[:place] + rng.choice(WORDS) + text[place + rng.randint(0, 9) :], [])

    def override() -> None:
        key = rng.choice([word for word in WORDS if word.endswith("=")])
        load(TEXT, [rng.choice([words(), f"{key}{rng.choice(WORDS)}"])])

    def journal() -> None:
        kind = rng.choice(list(JOURNALS))
        content = damaged(rng, b"".join(rng.choices(LINES, k=rng.randint(0, 5))))
        if rng.random() < 0.3:
            line = json.loads(rng.choice(LINES))
            line[rng.choice(list(line))] = rng.choice(
                [None, [], {}, "x", -1, 1e308, True, [[1], 2]]
            )
            content += json.dumps(line).encode() + b"\n"
        fault_of_an_ended_run(events(kind, content, "j"))

    # Journals are read in microseconds, configs in milliseconds.
    kinds = [config, override, *[journal] * 8]
    for number in range(FUZZED * pytestconfig.getoption("--soak-tries")):
        what = kinds[number % len(kinds)]
        try:
            what()
            outcomes[f"{what.__name__}: accepted"] += 1
        except NormbenchError:
            outcomes[f"{what.__name__}: refused"] += 1
    print(f"\n{number + 1} inputs: {dict(outcomes)}")
