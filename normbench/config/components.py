"""The sections of a config about components: data, model and norms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from normbench.config.errors import config_error
from normbench.config.schema import Section, TaggedUnion, option_values, with_options
from normbench.data.catalog import DATASETS, Source, make_source
from normbench.errors import suggest
from normbench.models import ACTIVATIONS, INITS, MODELS, ModelSettings
from normbench.models.base import Network, Placement
from normbench.norms import NORMS, Method, NormPolicy
from normbench.norms.base import Axes
from normbench.registry import plain_name


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


class DataConfig(Section):
    """Which images, how they are split, and in what batches they come."""

    dataset: str = Field("digits", description="a name of `normbench list datasets`")
    validation: int = Field(300, ge=1, description="training images set aside for validation")
    batch_size: int = Field(128, ge=1, description="images a step; an incomplete batch is dropped")
    split_seed: int | None = Field(
        None, ge=0, description="one validation split for all seeds; null: each seed has its own"
    )
    augment: AugmentConfig = Field(AugmentConfig(), description="augmentation, for training only")

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return DATA.elsewhere(cls, cls.model_fields["dataset"].default)

    def options(self) -> dict[str, Any]:
        """The options of this dataset's source, for ``normbench.data.prepare``."""
        return option_values(self, DATASETS[self.dataset])

    def source(self) -> Source:
        """The source that reads this dataset."""
        return make_source(self.dataset, self.options())


class FolderConfig(DataConfig):
    """A folder of images, one subfolder a class."""

    dataset: str = Field("folder", description="always folder")
    path: str = Field(
        min_length=1, examples=["path/to/images"], description="train/<class>/* and test/<class>/*"
    )
    image_size: int = Field(32, ge=8, le=512, description="side in pixels after a square crop")
    channels: Literal[1, 3] = Field(3, description="3 colour, 1 grey")


def _data_member(kind: str) -> type[DataConfig]:
    if kind == "folder":
        return FolderConfig
    return with_options(DataConfig, "dataset", kind, DATASETS[kind])


DATA = TaggedUnion("dataset", "dataset", DATASETS.names, DATASETS.canonical, _data_member)


class ModelConfig(Section):
    """The network, but for its normalization. The other keys are the options of its kind."""

    kind: str = Field(examples=["mlp"], description="a name of `normbench list models`")
    activation: Annotated[str, one_of("activation", ACTIVATIONS, _ACTIVATION_NAMES)] = Field(
        "relu", description=f"after every hidden layer: {', '.join(ACTIVATIONS)}"
    )
    init: Annotated[str, one_of("init", INITS, _INIT_NAMES)] = Field(
        "he_normal", description=f"how weights are drawn: {', '.join(INITS)}"
    )
    bias: bool = Field(True, description="whether Linear and Conv layers carry a bias")
    placement: Placement = Field("pre", description="pre or post: norm before or after activation")

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return MODEL.elsewhere(cls, cls.model_fields["kind"].default)

    def network(self) -> type[Network]:
        """The registered class."""
        return MODELS[self.kind]

    def options(self) -> Any:
        """The ``Options`` of this kind."""
        return self.network().Options(**option_values(self, self.network().Options))

    def settings(self) -> ModelSettings:
        """What all architectures share."""
        return ModelSettings(self.activation, self.init, self.bias, self.placement)


MODEL = TaggedUnion(
    "model",
    "kind",
    MODELS.names,
    MODELS.canonical,
    lambda kind: with_options(ModelConfig, "kind", kind, MODELS[kind].Options),
)


class NormalizationConfig(Section):
    """The policy that every norm of the experiment shares."""

    eps: float = Field(1e-5, gt=0, description="added to the variance before the root")
    affine: bool = Field(True, description="learn a scale and a shift per feature or channel")
    momentum: float = Field(0.1, gt=0, le=1, description="newest batch in running statistics")
    axes: Axes = Field("chw", description="layer and rms norm on images: over C,H,W or only C")

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


class NormConfig(Section):
    """One norm of the comparison. The other keys are the options of its kind."""

    kind: str = Field(examples=["batch"], description="a name of `normbench list norms`")
    name: Annotated[str | None, AfterValidator(_norm_name)] = Field(
        None, description="its label in tables; null: the kind and what differs from its defaults"
    )

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        return NORM.elsewhere(cls, cls.model_fields["kind"].default)

    @property
    def label(self) -> str:
        """``name``, or the kind with the options that differ: ``group(groups=4)``."""
        if self.name:
            return self.name
        options = self.options()
        changed = [
            f"{key}={str(value).lower() if isinstance(value, bool) else value}"
            for key, value in option_values(self, type(options)).items()
            if value != getattr(type(options)(), key)
        ]
        return f"{self.kind}({','.join(changed)})" if changed else self.kind

    def options(self) -> Any:
        """The ``Options`` of this kind."""
        options = NORMS[self.kind].Options
        return options(**option_values(self, options))

    def method(self, normalization: NormalizationConfig) -> Method:
        """The method, bound to its options and the shared policy."""
        return NORMS[self.kind](normalization.policy(), self.options())


NORM = TaggedUnion(
    "norm",
    "kind",
    NORMS.names,
    NORMS.canonical,
    lambda kind: with_options(NormConfig, "kind", kind, NORMS[kind].Options),
)
