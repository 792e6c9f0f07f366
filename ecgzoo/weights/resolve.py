"""load_pretrained: load and verify a model by name.

``local-dir:path``  a folder; the path of an existing folder also works without the prefix
``hf-hub:org/repo@revision``  a repository on the Hugging Face Hub; no request for a full commit hash in the cache
``name.tag``  weights that an installed distribution provides, such as ecgzoo itself
``name``  the default tag of that backbone
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ecgzoo import registry
from ecgzoo.errors import AmbiguousNameError, WeightsError, did_you_mean
from ecgzoo.model import EcgModel, WeightsSource
from ecgzoo.weights.folder import read_folder

FOLDER, HUB = "local-dir:", "hf-hub:"


def load_pretrained(source: str | Path) -> EcgModel:
    """A trained model in eval mode, with verified weights; ``weights_source`` records where the weights came from.

    Args:
        source: a folder; ``name.tag`` of installed weights, or ``name`` for that backbone's default ones; or
            ``hf-hub:org/name@revision``, where a full commit hash that is in the cache needs no request.

    Raises:
        WeightsError: there are no such weights, a file is damaged or missing, or does not fit its architecture exactly;
            or the Hub refuses or does not answer.
        RegistryError: the architecture is not registered.
    """
    text = str(source)
    if text.startswith(HUB):
        from ecgzoo.weights.hub import pull

        repository, _, revision = text.removeprefix(HUB).partition("@")
        folder = pull(repository, revision or None)
        return _load(folder, "hub", f"{HUB}{repository}@{folder.name}")  # the commit, also where a branch was asked for
    folder = Path(text.removeprefix(FOLDER))
    if text.startswith(FOLDER) or is_folder(folder):
        return _load(folder, "folder", str(folder))
    return load_registered(lookup_weights(text))


def load_registered(found: registry.Registered) -> EcgModel:
    """The model that an installed distribution provides as `found`; for errors see `load_pretrained`."""
    make = registry.factory(found)
    with registry.blamed(found):
        folder = Path(make(found.spec.name))
    model = _load(folder, "packaged", f"{found.spec.name} of {found.distribution} {found.version}")
    backbone = registry.lookup("backbone", model.config.architecture).spec
    if found.spec.name.partition(".")[0] not in (backbone.name, *backbone.aliases):
        raise WeightsError(f"{found} holds weights of {backbone.name}; its name must be {backbone.name}.TAG")
    return model


def lookup_weights(name: str, leads: Sequence[str] | None = None) -> registry.Registered:
    """The registered weights `name` (``backbone.tag``), or those of the backbone `name` for `leads`, or its default.

    Weights from the distribution that provides the backbone come before those of other distributions.

    Raises:
        WeightsError: there are none; the message lists the names.
        AmbiguousNameError: several distributions provide the weights meant.
    """
    if registry.has("weights", name):
        return registry.get("weights", name)
    known = registry.names("weights")
    if registry.has("backbone", name):
        backbone = registry.lookup("backbone", name)
        entries = [registry.lookup("weights", known_name) for known_name in known]
        tags = [found for found in entries if found.spec.name.startswith(f"{backbone.spec.name}.")]
        tags = [found for found in tags if found.distribution == backbone.distribution] or tags
        for_leads = [found for found in tags if leads and found.spec.leads == tuple(leads)]
        chosen = for_leads or tags
        chosen = [found for found in chosen if found.spec.default] or chosen
        fewest = min((len(found.spec.leads) for found in chosen), default=0)
        chosen = [found for found in chosen if len(found.spec.leads) == fewest]
        if len({found.distribution for found in chosen}) > 1:
            choices = ", ".join(found.name for found in chosen)
            raise AmbiguousNameError(f"Several distributions provide weights of {name}; name one: {choices}.")
        if chosen:
            return chosen[0]
    missing = registry.to_install("weights", name) or registry.to_install("backbone", name.partition(".")[0])
    raise WeightsError(
        f"{name!r} is not a folder of weights, and no weights have this name. "
        + (
            missing
            or f"{did_you_mean(name, known)} Give such a name, a folder that a recipe or save_pretrained wrote, or "
            f"{HUB}org/repository@revision."
        )
    )


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; False for an invalid path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # not a valid path: too long, or with a zero byte
        return False


def _load(folder: Path, origin: Literal["folder", "packaged", "hub"], location: str) -> EcgModel:
    model, sha256 = read_folder(folder)
    model.weights_source = WeightsSource(origin, location, sha256)
    return model
