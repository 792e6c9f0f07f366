"""Specs: frozen dataclasses by which a plugin names what it provides and where its factory is.

Nothing here imports torch. Listing names reads only the specs; a factory is imported when it is used.
"""

from dataclasses import MISSING, dataclass
from typing import TypeVar

from ecgzoo.errors import RegistryError

API = 1  # version of this contract; a spec for another version is refused

_SpecT = TypeVar("_SpecT", bound="Spec")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Base class of all specs.

    Attributes:
        name: lower-case name of letters, digits, ``_``, ``-`` and ``.``; unique within its kind. Names of a
            large family start with ``family/``; as files in a folder, they match patterns with a ``/`` only.
        factory: ``"package.module:callable"``, imported on first use.
        summary: one line for listings.
        api: version of the plugin contract the spec was written for.
        aliases: other names for this spec.
        deprecated_by: the name to use instead, which a warning shows.
        removed_in: version of the distribution in which the deprecated name will be removed.
        unavailable: why nothing can be built under this name, which is not listed; empty for all other names.

    Raises:
        RegistryError: a field is unknown to this version, or one without a default is missing.
    """

    name: str
    factory: str
    summary: str
    api: int = API
    aliases: tuple[str, ...] = ()
    deprecated_by: str | None = None
    removed_in: str | None = None
    unavailable: str = ""

    def __new__(cls: type[_SpecT], **given: object) -> _SpecT:
        """Check which fields are given."""
        known = cls.__dataclass_fields__  # a thousand specs are made before a command starts: fields() is slower
        what = f"{cls.__name__}({given.get('name')!r})"
        if unknown := given.keys() - known.keys():
            raise RegistryError(
                f"{what} has the field {min(unknown)}, which this ecgzoo does not know: update ecgzoo, or correct it"
            )
        without = [name for name, field in known.items() if field.default is field.default_factory is MISSING]
        missing = [name for name in without if name not in given]
        if missing and given:  # copy and pickle give nothing, and set the fields later
            raise RegistryError(f"{what} lacks {', '.join(missing)}: give it, or update the plugin")
        return super().__new__(cls)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A 1-D network, built by ``factory(num_leads: int, num_classes: int, **arguments)``.

    Attributes:
        parameters: golden counts ``((leads, classes, parameters), …)`` that the conformance test checks.
        starts: pretrained weights of other fields that ``pretrained=`` takes by these names, such as ``imagenet``. The
            network has a method ``start_from(name) -> str``, which loads them and says what it has loaded.
    """

    parameters: tuple[tuple[int, int, int], ...] = ()
    starts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A loss, built by ``factory(student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, **arguments)``."""


@dataclass(frozen=True, kw_only=True)
class TransformSpec(Spec):
    """A transform of the training crops, built by ``factory(data: DataInfo, amount: float, **arguments)``."""


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(Spec):
    """A file format of recordings; ``factory() -> Reader``.

    Attributes:
        generic: whether it takes files that a more specific reader may know; such readers are asked last.
    """

    generic: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set, built by ``factory(root: Path | None, task: str) -> Cohort``.

    Attributes:
        tasks: label sets of the data set, the default first.
        needs_root: whether a folder with files must be given; not for a simulated cohort.
    """

    tasks: tuple[str, ...] = ()
    needs_root: bool = True


@dataclass(frozen=True, kw_only=True)
class WeightsSpec(Spec):
    """Weights of a backbone, named ``backbone.tag``; ``factory(name) -> Path`` gives the folder that holds them.

    Attributes:
        leads: those that the weights were trained on, in the spelling of ``ecgzoo.signal``.
        default: whether ``pretrained=True`` means these for their leads. Where no leads are named, it means the default
            of fewest leads.
    """

    leads: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A training recipe: ``factory(argv: list[str]) -> None`` runs it, as ``ecgzoo recipe NAME …`` does."""
