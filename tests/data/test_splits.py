from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from normbench.data import epoch_order, split
from normbench.seeding import stream

labels_lists = st.lists(st.integers(0, 5), min_size=2, max_size=200)


@settings(max_examples=50, deadline=None)
@given(labels_lists, st.data())
def test_a_split_is_exact_disjoint_sorted_and_complete(values: list[int], data: st.DataObject):
    labels = np.array(values, dtype=np.int64)
    classes = len(set(values))
    assume(len(values) >= 2 * classes)
    validation = data.draw(st.integers(classes, len(values) - classes))
    train, val = split(labels, validation, stream(0, "split"))
    assert len(val) == validation
    assert train.dtype == val.dtype == np.int64
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    assert sorted([*train, *val]) == list(range(len(values)))


@settings(max_examples=50, deadline=None)
@given(labels_lists, st.data())
def test_every_class_gives_its_share_and_is_in_both_parts(values: list[int], data: st.DataObject):
    labels = np.array(values, dtype=np.int64)
    counts = np.bincount(labels, minlength=6)
    classes = int((counts > 0).sum())
    assume(len(values) >= 2 * classes)
    validation = data.draw(st.integers(classes, len(values) - classes))
    _, val = split(labels, validation, stream(0, "split"))
    taken = np.bincount(labels[val], minlength=6)
    for count, got in zip(counts, taken, strict=True):
        assert min(1, count - 1) <= got <= count - 1 or count == got == 0
    exact = counts * validation / len(values)
    if (exact >= 1).all() and (counts - exact >= 1).all():  # no class is near its bounds
        assert (np.abs(taken - exact) < 1).all()


def test_the_cut_follows_the_stream_and_differs_between_streams():
    labels = np.arange(1000) % 10
    first = split(labels, 100, stream(1, "split"))[1]
    assert (first == split(labels, 100, stream(1, "split"))[1]).all()
    assert (first != split(labels, 100, stream(2, "split"))[1]).any()
    assert np.bincount(labels[first]).tolist() == [10] * 10


def test_no_validation_leaves_everything_for_training():
    train, val = split(np.array([0, 1, 0]), 0, stream(0, "split"))
    assert train.tolist() == [0, 1, 2]
    assert len(val) == 0


@pytest.mark.parametrize(
    ("validation", "words"), [(9, "smaller than the 10 classes"), (91, "too large")]
)
def test_a_cut_too_small_or_too_large_is_refused(validation: int, words: str):
    with pytest.raises(ValueError, match=words):
        split(np.arange(100) % 10, validation, stream(0, "split"))


def test_an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    order = epoch_order(3, 2, 500)
    assert sorted(order) == list(range(500))
    assert (order == epoch_order(3, 2, 500)).all()
    assert (order != epoch_order(3, 1, 500)).any()
    assert (order != epoch_order(4, 2, 500)).any()
