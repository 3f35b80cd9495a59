"""The base of every section, and sections whose keys depend on a kind.

``model: {kind: cnn, depth: 12}`` has the keys that all models share and those of the CNN's
``Options``. A tagged union makes one pydantic class a kind, from the registry, so a component that
is added elsewhere brings its options into the schema by itself.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from normbench.config.errors import FILLED_IN, Path, config_error, config_errors, describe, plain
from normbench.errors import suggest
from normbench.registry import UnknownName


class Section(BaseModel):
    """Strict, frozen, no unknown keys, no NaN; errors in plain sentences."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def elsewhere(cls) -> Mapping[str, str]:
        """Keys that only other kinds of this section have -> what to tell who gives one."""
        return {}

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_sentences(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise plain(error, cls, cls.elsewhere()) from None


S = TypeVar("S", bound=Section)


class TaggedUnion(Generic[S]):
    """The classes of one section, by the value of its key ``tag``.

    noun: the word in messages; names: the known kinds; canonical: the kind behind a name or alias,
    raising UnknownName; build: the class of a kind; source: the hash of the file behind a kind,
    None for one of ours.
    """

    def __init__(
        self,
        noun: str,
        tag: str,
        names: Callable[[], Iterable[str]],
        canonical: Callable[[str], str],
        build: Callable[[str], type[S]],
        source: Callable[[str], str | None] = lambda _: None,
    ):
        self.noun, self.tag, self.source = noun, tag, source
        self.names, self.canonical, self.member = names, canonical, build

    def validate(self, value: Any, default: str | None = None) -> S:
        """The section, as the class of its kind. Raises ValidationError or a mistake."""
        if isinstance(value, Section):
            return typing.cast(S, value)
        if not isinstance(value, Mapping):
            raise config_error(f"must be a section of keys, got {describe(value)}")
        name = value.get(self.tag, default)
        if name is None:
            example = f"for example  {self.tag}: {next(iter(self.names()))}"
            known = suggest("", self.names())
            raise config_errors(
                [((self.tag,), config_error("missing", f"{example}  {known}", "parent"))]
            )
        if not isinstance(name, str):
            raise config_errors(
                [((self.tag,), config_error(f"must be a string, got {describe(name)}"))]
            )
        try:
            kind = self.canonical(name)
        except UnknownName as error:
            wrong = ((self.tag,), config_error(error.message, error.hint))
            raise config_errors([wrong, *self._others(value, name)]) from None
        values = {**value, self.tag: kind}
        if (digest := self.source(kind)) is not None:
            values["source"] = self._unchanged(kind, digest, value.get("source"))
        return self.member(kind).model_validate(values)

    def _unchanged(self, kind: str, digest: str, known: Any) -> str:
        """The hash of the file behind a kind, which must be the one that a config names."""
        if known is not None and known != digest:
            message = f"{kind} is not the file it was: its hash differs"
            hint = "an edited file makes new runs; start the command again, or undo the change"
            raise config_errors([((self.tag,), config_error(message, hint))])
        return digest

    def _others(
        self, value: Mapping[str, Any], name: str
    ) -> list[tuple[Path, PydanticCustomError]]:
        """The other mistakes of a section of unknown kind, as if the nearest kind were meant."""
        near = difflib.get_close_matches(name.lower(), list(self.names()), n=1)
        if not near:  # what no kind has is wrong whatever is meant
            known = self.keys()
            return [
                ((key,), config_error(f"unknown key {key!r}", suggest(key, known), "key"))
                for key in map(str, value)
                if key not in known
            ]
        try:
            self.member(near[0]).model_validate({**value, self.tag: near[0]})
        except ValidationError as error:
            return [
                (tuple(line["loc"]), PydanticCustomError("config_error", "{message}", line["ctx"]))
                for line in error.errors(include_url=False, include_input=False)
            ]
        return []

    def elsewhere(self, member: type[Section], kind: str) -> dict[str, str]:
        """The keys of the other kinds, each with a sentence that says whose they are."""
        owners: dict[str, list[str]] = {}
        for other in self.names():
            for key in self.member(other).model_fields.keys() - member.model_fields.keys():
                owners.setdefault(key, []).append(other)
        return {
            key: f"{key} has no meaning for {self.noun} {kind!r}; it belongs to {', '.join(kinds)}"
            for key, kinds in owners.items()
        }

    def known(self, name: str) -> str:
        """The kind behind a name, or the name itself where there is none."""
        try:
            return self.canonical(name)
        except UnknownName:
            return name

    def required(self, kind: str) -> set[str]:
        """The keys of a kind that have no default."""
        fields = self.member(kind).model_fields
        return {key for key, field in fields.items() if field.is_required()}

    def keys(self) -> set[str]:
        """The keys of all kinds together."""
        kinds = [self.member(kind) for kind in self.names()]
        return {key for kind in kinds for key in kind.model_fields} - FILLED_IN


@functools.cache
def with_options(base: type[S], tag: str, kind: str, options: type) -> type[S]:
    """``base`` plus the fields of the dataclass ``options``, its constraints and defaults kept."""
    hints = typing.get_type_hints(options, include_extras=True)
    fields: dict[str, Any] = {tag: (str, Field(kind, description=f"always {kind}"))}
    for item in dataclasses.fields(options):
        given: Any = ... if item.default is dataclasses.MISSING else item.default
        if item.default_factory is not dataclasses.MISSING:
            given = Field(default_factory=item.default_factory)
        fields[item.name] = (hints[item.name], given)
    return create_model(f"{base.__name__}_{kind}", __base__=base, __doc__=options.__doc__, **fields)


def option_values(section: Section, options: type) -> dict[str, Any]:
    """The values of the fields of ``options`` in ``section``."""
    return {item.name: getattr(section, item.name) for item in dataclasses.fields(options)}


def with_kind(given: Any, whole: Any) -> Any:
    """A part of a config that lacks its defaults, with what says of which kind it is."""
    if isinstance(given, list) and isinstance(whole, list) and len(given) == len(whole):
        parts = [with_kind(one, all_) for one, all_ in zip(given, whole, strict=True)]
        return [
            one["kind"] if isinstance(one, dict) and [*one] == ["kind"] else one for one in parts
        ]
    if not (isinstance(given, dict) and isinstance(whole, dict)):
        return given
    kind = {key: whole[key] for key in ("kind", "dataset") if key in whole}
    return kind | {key: with_kind(value, whole.get(key)) for key, value in given.items()}
