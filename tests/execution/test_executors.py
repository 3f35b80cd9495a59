"""Executors are found by name; what is wrong with the choice is told before anything begins."""

from __future__ import annotations

import sys

import pytest

from normbench.config import RuntimeConfig
from normbench.errors import ConfigError
from normbench.execution import LocalExecutor, make_executor


def make(name: str, address: str | None = None, **runtime):
    return make_executor(
        name, RuntimeConfig(**runtime), jobs=None, fill=3, ray_address=address, note=print
    )


def test_the_local_engine_fills_the_cores_unless_told():
    executor = make("local")
    assert isinstance(executor, LocalExecutor)
    assert executor.jobs == 3


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("rya", None, "unknown executor 'rya'\n    did you mean 'ray'?  known: local, ray"),
        ("local", "auto", "ray-address: the executor is local\n    add --executor ray"),
    ],
)
def test_a_wrong_choice_is_told_with_its_remedy(name, address, told):
    with pytest.raises(ConfigError) as caught:
        make(name, address)
    assert told in str(caught.value)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "normbench.execution.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"normbench\[ray\]"):
        make("ray")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ":1"])
def test_what_is_no_address_is_told(address):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="is not an address"):
        make("ray", address)


@pytest.mark.parametrize(
    ("runtime", "remedy"),
    [({"stack": 2}, "runtime.gpus"), ({"device": "cuda:1"}, "device: cuda")],
)
def test_what_ray_decides_itself_is_no_business_of_the_config(runtime, remedy):
    with pytest.raises(ConfigError, match=remedy):
        make("ray", **runtime)
