"""What is in a dataset, in words."""

from __future__ import annotations

from normbench.data.facts import Facts
from normbench.report.data import sentences


def test_names_of_classes_neither_steer_the_terminal_nor_fill_it():
    per_class = {"\x1b[31mred\u202e\n": 3, "a" * 100_000: 4}
    facts = Facts(7, 0, 2, (8, 8, 1), "uint8", 0.0, 255.0, per_class, 0, 64)
    _, told = sentences(facts)
    assert told == f"2 classes: \\x1b[31mred\\u202e\\n 3, {'a' * 40} 4"
