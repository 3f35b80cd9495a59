"""Every norm of the registry against its own float64 formula in NumPy, forward and backward."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from normbench.norms import NORMS, NormPolicy, NormSlot, make_method
from normbench.norms.layouts import layer_at
from normbench.seeding import stream

EPS = 1e-3  # large, so that a misplaced eps shows
SLOTS = {"flat": NormSlot.of(6), "image": NormSlot.of(6, 3, 4)}
TOKENS = NormSlot("norm", 6, (5, 6), -1)
OPTIONS = {"group": {"groups": 2}}  # the default does not divide 6


def method_of(kind: str, **policy):
    return make_method(kind, NormPolicy(eps=EPS, **policy), **OPTIONS.get(kind, {}))


# Every layout, axes and affine policy, in pairs: features of vectors have no axes to choose among.
POLICIES = [
    ("flat", "chw", True),
    ("flat", "chw", False),
    ("image", "chw", True),
    ("image", "c", False),
]


def every_case():
    for kind, (where, axes, learn) in itertools.product(NORMS, POLICIES):
        method = method_of(kind)
        # What a method that changes other parts puts in a norm's place is its own, or the identity.
        if "norm" in method.replaces and method.problem(SLOTS[where], 5) is None:
            yield pytest.param(kind, where, axes, learn, id=f"{kind}-{where}-{axes}-affine={learn}")


CASES = list(every_case())
KINDS = list(dict.fromkeys((case.values[0], case.values[1]) for case in CASES))


def make(kind: str, where: str, axes: str, learn: bool, **more) -> tuple:
    """The method, and its layer in float64 with parameters that are not those of the start."""
    method = method_of(kind, affine=learn, axes=axes, **more)
    layer = method.norm(SLOTS[where]).double()
    rng = stream(0, "affine")
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(rng.normal(1.0, 0.5, tuple(p.shape))))
    return method, layer


def draw(where: str, n: int = 5, name: str = "x") -> torch.Tensor:
    return torch.from_numpy(stream(0, name).normal(0.7, 1.5, (n, *SLOTS[where].shape)))


def values(layer: nn.Module) -> dict[str, np.ndarray]:
    state = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    return {name: value.detach().numpy().copy() for name, value in state.items()}


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_forward_equals_the_formula_in_training_and_in_evaluation(kind, where, axes, learn):
    method, layer = make(kind, where, axes, learn, momentum=0.3)
    for step in range(3):
        x, before = draw(where, name=f"x{step}"), values(layer)
        want = method.reference(SLOTS[where], x.numpy(), before)
        np.testing.assert_allclose(layer(x).detach().numpy(), want, rtol=1e-9, atol=1e-11)
    layer.eval()
    x, before = draw(where), values(layer)
    want = method.reference(SLOTS[where], x.numpy(), before, training=False)
    np.testing.assert_allclose(layer(x).detach().numpy(), want, rtol=1e-9, atol=1e-11)
    assert all(np.array_equal(before[name], after) for name, after in values(layer).items())


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_whether_training_differs_from_evaluation_is_as_declared(kind, where, axes, learn):
    method, layer = make(kind, where, axes, learn)
    x = draw(where)
    trained = layer(x)
    assert torch.equal(layer.eval()(x), trained) != method.traits.train_differs
    if "weight" not in method.replaces:  # whose state is in the layers before the norm
        assert (method.traits.state != "none") == any(True for _ in layer.buffers())


@pytest.mark.parametrize(("kind", "where"), KINDS)
def test_whether_an_example_depends_on_the_others_is_as_declared(kind, where):
    traits = method_of(kind).traits
    _, layer = make(kind, where, "chw", True)
    x, other = draw(where), draw(where, name="other")
    mixed = torch.cat([x[:1], other[1:]])
    # Of a copy, since a running average moves with every call.
    first, second = (copy.deepcopy(layer)(value)[0] for value in (x, mixed))
    assert torch.allclose(first, second, rtol=1e-12) != traits.mixes_examples


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_backward_equals_the_derivative_of_the_formula(kind, where, axes, learn):
    """Central differences of the NumPy formula along random directions."""
    method, layer = make(kind, where, axes, learn)
    if method.traits.gradient:
        pytest.skip(f"the backward pass is another: {method.traits.gradient}")
    x, g, state = draw(where, 3), draw(where, 3, "g"), values(layer)
    inputs = {"": x.requires_grad_(), **dict(layer.named_parameters())}
    gradients = torch.autograd.grad(layer(x), list(inputs.values()), g)
    for at, (name, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        direction = stream(at, "direction").standard_normal(tuple(gradient.shape))
        losses = []
        for step in (1e-5 * direction, -1e-5 * direction):
            moved = {**state, **({name: state[name] + step} if name else {})}
            at_x = x.detach().numpy() + (0 if name else step)
            losses.append(float((method.reference(SLOTS[where], at_x, moved) * g.numpy()).sum()))
        want = (losses[0] - losses[1]) / 2e-5
        assert float((gradient.numpy() * direction).sum()) == pytest.approx(
            want, rel=1e-6, abs=1e-7
        )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_gradcheck_passes(kind, where, axes, learn, training):
    method, layer = make(kind, where, axes, learn)
    if method.traits.gradient and training:
        pytest.skip(f"the backward pass is another: {method.traits.gradient}")
    layer(draw(where))
    layer.train(training)
    inputs = (draw(where, 3).requires_grad_(), *layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def call(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        # Buffers as copies: gradcheck calls many times, and each would move the running ones.
        state = dict(zip(names, values, strict=True))
        state |= {name: b.clone() for name, b in layer.named_buffers()}
        return torch.func.functional_call(layer, state, (x,))

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize(("kind", "where"), KINDS)
def test_state_goes_round_and_every_parameter_has_a_gradient(kind, where):
    _, layer = make(kind, where, "chw", True)
    x = draw(where)
    layer(x).square().sum().backward() if any(True for _ in layer.parameters()) else layer(x)
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    _, again = make(kind, where, "chw", True)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.eval()(x), layer.eval()(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kind", "where"), KINDS)
def test_large_half_precision_numbers_give_finite_numbers_of_the_same_type(kind, where, dtype):
    layer = method_of(kind).norm(SLOTS[where])
    # A mean of squares of them is beyond what float16 can hold.
    x = (1000 * draw(where)).to(dtype).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.dtype is dtype
    assert bool(y.isfinite().all())
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(("kind", "where"), KINDS)
def test_one_and_two_examples_pass_or_there_is_a_reason(kind, where, n):
    method, slot = method_of(kind), SLOTS[where]
    reason = method.problem(slot, n)
    if reason is None:
        y = method.norm(slot).double()(draw(where, n))
        assert bool(y.isfinite().all())
    else:
        assert n == 1
        assert len(reason.split()) > 5


@pytest.mark.parametrize("kind", list(NORMS))
def test_tokens_are_normalized_each_by_itself_or_as_positions(kind):
    method = method_of(kind)
    if "norm" not in method.replaces or method.problem(TOKENS, 4) is not None:
        pytest.skip("not of tokens")
    layer = layer_at(method, TOKENS).double()
    x = torch.from_numpy(stream(0, "tokens").standard_normal((4, 5, 6)))
    own = values(next(layer.children(), layer))
    alone = TOKENS.of_one_token()
    if method.problem(alone, TOKENS.positions) is None:
        want = method.reference(alone, x.reshape(20, 6).numpy(), own).reshape(4, 5, 6)
    else:
        positions = x.movedim(-1, 1)[..., None].numpy()
        want = np.moveaxis(method.reference(TOKENS, positions, own)[..., 0], 1, -1)
    np.testing.assert_allclose(layer(x).detach().numpy(), want, atol=1e-10)


@pytest.mark.parametrize("kind", sorted(set(NORMS) - {"original", "none"}))
def test_every_method_says_what_it_is(kind):
    method = NORMS[kind]
    traits = method.traits
    assert traits.formula
    assert traits.convention
    assert traits.train_differs is not None
    assert traits.year
    assert traits.paper
    assert traits.reference
    assert method.__doc__
    assert len(method.__doc__.splitlines()) > 1
