"""The sections of a config about components: data, model and norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, TypeAdapter, WrapValidator, model_validator

from normbench.components import short
from normbench.config.errors import config_error, config_errors
from normbench.config.schema import Section, TaggedUnion, option_values, with_options
from normbench.data.catalog import DATASETS, Source, make_source
from normbench.errors import suggest
from normbench.models import ACTIVATIONS, INITS, MODELS, MODULE, Architecture, ModelSettings
from normbench.models.base import Placement
from normbench.models.network import Blueprint
from normbench.norms import NORMS, EvalStatistics, NormMethod, NormPolicy, make_method
from normbench.norms.base import Axes, with_weights
from normbench.registry import UnknownName, plain_name


def one_of(
    noun: str, known: Iterable[str], synonyms: Mapping[str, str] = MappingProxyType({})
) -> AfterValidator:
    """The value must be among ``known``, in any case or by a synonym; the message suggests."""
    names = {**{plain_name(name): name for name in known}, **synonyms}

    def check(value: str) -> str:
        name = names.get(plain_name(value))
        if name is None:
            raise config_error(f"unknown {noun} {value!r}", suggest(value, known))
        return name

    return AfterValidator(check)


# What else people call them; the keys as ``plain_name`` writes names.
_ACTIVATION_NAMES = {
    "swish": "silu",
    "linear": "identity",
    "none": "identity",
    "lrelu": "leaky_relu",
}
_INITS = (*INITS, MODULE)
_INIT_NAMES = {
    **dict.fromkeys(("he", "kaiming", "kaimingnormal", "msra"), "he_normal"),
    **dict.fromkeys(("xavier", "glorot", "glorotnormal"), "xavier_normal"),
    **dict.fromkeys(("lecun",), "lecun_normal"),
    **dict.fromkeys(("default", "torch", "pytorch"), "torch_default"),
}


class AugmentConfig(Section):
    """Random changes to training images, drawn from the seed's ``augment`` stream."""

    crop: int = Field(0, ge=0, le=16, description="pad by this many pixels, then crop at random")
    flip: bool = Field(False, description="mirror half of the images left to right")


_COUNT: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=1, strict=True)])


def _count_or_share(value: Any, count: Callable[[Any], int]) -> float:
    """A number of images, or a share of them below 1."""
    share = isinstance(value, float) and 0 < value < 1
    return value if share else count(value)


class DataConfig(Section):
    """Which images, how they are split, and in what batches they come."""

    dataset: str = Field("digits", description="a name of `normbench list datasets`")
    validation: Annotated[
        int | float,
        WrapValidator(lambda value, _: _count_or_share(value, _COUNT.validate_python)),
    ] = Field(
        300,
        description="training images set aside for validation, or the share of them (0.1); of no "
        "effect where a source of your own has a validation part",
    )
    batch_size: int = Field(128, ge=1, description="images a step; an incomplete batch is dropped")
    split_seed: int | None = Field(
        None, ge=0, description="one validation split for all seeds; null: each seed has its own"
    )
    augment: AugmentConfig = Field(AugmentConfig(), description="augmentation, for training only")

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return DATA.elsewhere(cls, cls.model_fields["dataset"].default)

    @model_validator(mode="before")
    @classmethod
    def _pinned(cls, values: Any) -> Any:
        """What identifies the source itself goes into the config, once."""
        if not isinstance(values, Mapping):
            return values
        return DATASETS[cls.model_fields["dataset"].default].pinned(values)

    def options(self) -> dict[str, Any]:
        """The options of this dataset's source, for ``normbench.data.prepare``."""
        return option_values(self, DATASETS[self.dataset])

    def source(self) -> Source:
        """The source that reads this dataset."""
        return make_source(self.dataset, self.options())

    def identity(self) -> dict[str, Any]:
        """What of this section determines the numbers of a run; JSON-able."""
        kept = DATASETS[self.dataset].identity(self.model_dump(mode="json"))
        digest = DATASETS.source_sha256(self.dataset)
        return kept if digest is None else {**kept, "source": digest}


DATA = TaggedUnion(
    "dataset",
    "dataset",
    DATASETS.names,
    DATASETS.canonical,
    lambda kind: with_options(DataConfig, "dataset", kind, DATASETS[kind]),
)


class ModelConfig(Section):
    """The network, but for its normalization. The other keys are the options of its kind."""

    kind: str = Field(examples=["mlp"], description="a name of `normbench list models`")
    init: Annotated[str, one_of("init", _INITS, _INIT_NAMES)] = Field(
        MODULE, description=f"how weights are drawn: {', '.join(_INITS)}"
    )

    source: str | None = Field(
        None, description="SHA-256 of the file that the kind names; filled in"
    )

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return MODEL.elsewhere(cls, cls.model_fields["kind"].default)

    def architecture(self) -> type[Architecture]:
        """The registered class."""
        return MODELS[self.kind]

    def options(self) -> Any:
        """The ``Options`` of this kind."""
        options = self.architecture().Options
        return options(**option_values(self, options))

    def settings(self) -> ModelSettings:
        """What all built-in architectures share."""
        return ModelSettings(init=self.init)

    def blueprint(self) -> Blueprint:
        """What ``models.assemble`` builds from."""
        return Blueprint(self.kind, self.options(), self.settings())


class BuiltInConfig(ModelConfig):
    """A network of ours. The other keys are the options of its kind."""

    activation: Annotated[str, one_of("activation", ACTIVATIONS, _ACTIVATION_NAMES)] = Field(
        "relu", description=f"after every hidden layer: {', '.join(ACTIVATIONS)}"
    )
    init: Annotated[str, one_of("init", _INITS, _INIT_NAMES)] = Field(
        "he_normal", description=f"how weights are drawn: {', '.join(_INITS)}"
    )
    bias: bool = Field(True, description="whether Linear and Conv layers carry a bias")
    placement: Placement = Field("pre", description="pre or post: norm before or after activation")

    def settings(self) -> ModelSettings:
        return ModelSettings(self.activation, self.init, self.bias, self.placement)


MODEL = TaggedUnion(
    "model",
    "kind",
    MODELS.names,
    MODELS.canonical,
    lambda kind: with_options(
        ModelConfig if MODELS[kind].open else BuiltInConfig, "kind", kind, MODELS[kind].Options
    ),
    MODELS.source_sha256,
)


class NormalizationConfig(Section):
    """The policy that every norm of the experiment shares."""

    eps: float = Field(1e-5, gt=0, description="added to the variance before the root")
    affine: bool = Field(True, description="learn a scale and a shift per feature or channel")
    momentum: float = Field(0.1, gt=0, le=1, description="newest batch in running statistics")
    axes: Axes = Field("chw", description="layer and rms norm on images: over C,H,W or only C")
    eval: EvalStatistics = Field(
        "ema",
        description="in evaluation: ema, running statistics; precise, those of the training split "
        "under the weights as they are; batch, those of each batch, as in training",
    )

    def policy(self) -> NormPolicy:
        """The same, as the norms take it."""
        return NormPolicy(self.eps, self.affine, self.momentum, self.axes)


def _norm_name(name: str | None) -> str | None:
    allowed = set(" ._()=+-")
    if name is not None and not (
        1 <= len(name) <= 40
        and name[0].isalnum()
        and all(letter.isascii() and (letter.isalnum() or letter in allowed) for letter in name)
    ):
        raise config_error(
            f"{name!r} cannot be a label",
            "up to 40 letters, digits, spaces and . _ ( ) = + -, the first a letter or digit",
        )
    return name


class WeightsConfig(Section):
    """A method of weights beside a norm. The other keys are the options of its kind."""

    kind: str = Field(examples=["weight_norm"], description="a method of weights")

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return WEIGHTS.elsewhere(cls, cls.model_fields["kind"].default)

    def options(self) -> dict[str, Any]:
        """Its options that are not those of the kind's default."""
        return _changed(self, NORMS[self.kind].Options)


def _changed(section: Section, options: type) -> dict[str, Any]:
    default = options()
    return {
        key: value
        for key, value in option_values(section, options).items()
        if value != getattr(default, key)
    }


def _told(kind: str, changed: Mapping[str, Any], *more: str) -> str:
    """A kind with what differs from its defaults: ``group(groups=4)``."""
    words = [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in changed.items()
    ]
    words += more
    return f"{short(kind)}({','.join(words)})" if words else short(kind)


def _of_weights() -> list[str]:
    return [n for n in NORMS.names() if NORMS[n].replaces and not _normalizes(n)]


def _weights_kind(name: str) -> str:
    known = _of_weights()
    try:
        name = NORMS.canonical(name)
    except UnknownName as error:
        raise UnknownName(error.message, suggest(error.message, known)) from None
    if name not in known:
        raise UnknownName(f"{name} is not a method of weights", f"those are {', '.join(known)}")
    return name


WEIGHTS = TaggedUnion(
    "method of weights",
    "kind",
    _of_weights,
    _weights_kind,
    lambda kind: with_options(WeightsConfig, "kind", kind, NORMS[kind].Options),
)


def _weights(value: Any) -> str | WeightsConfig | None:
    """The kind alone where every option has its default, however it is written."""
    if value is None:
        return None
    if not isinstance(value, str):
        section = WEIGHTS.validate(value)
        return section if section.options() else section.kind
    try:
        return _weights_kind(value)
    except UnknownName as error:
        raise config_error(error.message, error.hint) from None


def _normalizes(name: str) -> bool:
    return not NORMS[name].replaces & {"weight"} or bool(NORMS[name].replaces & {"residual"})


class NormConfig(Section):
    """One norm of the comparison. The other keys are the options of its kind."""

    kind: str = Field(examples=["batch"], description="a name of `normbench list norms`")
    name: Annotated[str | None, AfterValidator(_norm_name)] = Field(
        None, description="its label in tables; null: the kind and what differs from its defaults"
    )
    strict: bool = Field(
        False, description="without the rates, bounds and decay that the method's paper fixes"
    )
    weights: Annotated[
        str | WeightsConfig | None, WrapValidator(lambda value, _: _weights(value))
    ] = Field(
        None,
        description="a method of weights beside this norm, such as weight_standardization or "
        "{kind: weight_norm, init: data}",
    )
    eval: EvalStatistics | None = Field(
        None, description="ema, precise or batch, for this norm; null: as normalization has it"
    )

    source: str | None = Field(
        None, description="SHA-256 of the file that the kind names; filled in"
    )

    @model_validator(mode="after")
    def _evaluates_otherwise(self) -> Self:
        if self.eval is not None and NORMS[self.kind].traits.train_differs is False:
            message = f"{short(self.kind)} keeps no running statistics: it evaluates as it trains"
            raise config_errors([(("eval",), config_error(message, "remove eval", "key"))])
        return self

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        shared = {
            key: f"{key} is for all norms alike: normalization.{key}"
            for key in NormalizationConfig.model_fields
        }
        return NORM.elsewhere(cls, cls.model_fields["kind"].default) | shared

    @property
    def label(self) -> str:
        """``name``, or the kind with the options that differ: ``group(groups=4)``."""
        if self.name:
            return self.name
        more = [f"weights={_told(*self._weights_parts)}"] if self.weights else []
        more += [f"eval={self.eval}"] if self.eval else []
        more += ["strict"] if self.strict else []
        return _told(self.kind, _changed(self, NORMS[self.kind].Options), *more)

    @property
    def _weights_parts(self) -> tuple[str, dict[str, Any]]:
        """(kind, options that differ) of the method of weights."""
        if isinstance(self.weights, WeightsConfig):
            return self.weights.kind, self.weights.options()
        return str(self.weights), {}

    def options(self) -> Any:
        """The ``Options`` of this kind."""
        options = NORMS[self.kind].Options
        return options(**option_values(self, options))

    def sets(self, normalization: NormalizationConfig) -> dict[str, Any]:
        """All that tells it from another norm of the experiment; JSON-able."""
        given = self.model_dump(mode="json", exclude={"name"}, serialize_as_any=True)
        return given | {"eval": self.eval or normalization.eval}

    def method(self, normalization: NormalizationConfig) -> NormMethod:
        """The method, bound to its options and the shared policy."""
        policy = normalization.policy()
        method = NORMS[self.kind](policy, self.options(), strict=self.strict)
        if self.weights is None:
            return method
        kind, options = self._weights_parts
        return with_weights(method, make_method(kind, policy, strict=self.strict, **options))

    @property
    def revision(self) -> int:
        """Of the method, and of that of weights beside it: ``NormMethod.revision``."""
        beside = 0 if self.weights is None else NORMS[self._weights_parts[0]].revision
        return NORMS[self.kind].revision + beside


NORM = TaggedUnion(
    "norm",
    "kind",
    NORMS.names,
    NORMS.canonical,
    lambda kind: with_options(NormConfig, "kind", kind, NORMS[kind].Options),
    NORMS.source_sha256,
)
