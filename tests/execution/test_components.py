"""What a script defines reaches the processes that train, which cannot import the script."""

from __future__ import annotations

import pickle
import threading

import pytest
from torch import nn

from normbench.data.catalog import DATASETS
from normbench.errors import ConfigError
from normbench.execution import components
from normbench.norms import NORMS, NormMethod
from normbench.norms.none import NoNorm


@pytest.fixture
def defined():
    """Registers a norm as a notebook's cell does; forgets it afterwards."""
    names = set(NORMS)

    def define(layer, module: str = "__main__") -> type[NormMethod]:
        body = {"norm": layer, "__module__": module, "__qualname__": "Cell"}
        return NORMS.register("cell", aliases=("zelle",))(type("Cell", (NormMethod,), body))

    yield define
    for name in set(NORMS) - names:
        NORMS._forget(name)


def identity(self, lane):
    return nn.Identity()


def test_without_guests_nothing_is_sent():
    assert components.pack() is None
    components.unpack(None)


def test_a_norm_of_the_script_arrives_by_value_under_all_its_names(defined):
    defined(identity)
    packed = components.pack()
    NORMS._forget("cell")
    assert "cell" not in NORMS
    components.unpack(packed)
    assert NORMS.canonical("zelle") == "cell"
    assert isinstance(NORMS["cell"](None, None).norm(None), nn.Identity)


def test_a_dataset_of_the_script_arrives_as_well():
    body = {"__module__": "__main__", "__qualname__": "Own", "label": "own"}
    DATASETS.register("own")(type("Own", (), body))
    try:
        packed = components.pack()
    finally:
        DATASETS._forget("own")
    components.unpack(packed)
    try:
        assert DATASETS["own"].label == "own"
    finally:
        DATASETS._forget("own")


def test_a_worker_that_knows_it_already_keeps_what_it_has(defined):
    own = defined(identity)
    components.unpack(components.pack())
    assert NORMS["cell"] is own


def test_a_cell_that_is_run_again_replaces_its_norm(defined):
    defined(identity)
    again = defined(lambda self, lane: nn.Flatten())
    assert NORMS["zelle"] is again


def test_a_name_of_ours_stays_taken(defined):
    with pytest.raises(ValueError, match="registered twice"):
        NORMS.register("none")(defined(identity))
    assert NORMS["none"] is NoNorm


def test_what_cannot_be_sent_is_told_with_the_remedy(defined):
    held = threading.Lock()

    def layer(self, lane):
        return held

    defined(layer)
    with pytest.raises(ConfigError, match="norm 'cell'") as caught:
        components.pack()
    assert "put it into a module" in str(caught.value)


def test_the_norms_of_the_package_are_no_guests():
    assert NORMS.guests() == []
    assert pickle.loads(pickle.dumps(NORMS["batch"])) is NORMS["batch"]
