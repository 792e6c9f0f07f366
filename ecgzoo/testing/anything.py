"""check: the conformance check of any registered name, as ``ecgzoo plugins --check`` runs it."""

import tempfile
from pathlib import Path

from ecgzoo import registry
from ecgzoo.errors import RegistryError
from ecgzoo.testing.backbones import check_backbone
from ecgzoo.testing.datasets import check_dataset
from ecgzoo.testing.findings import Findings
from ecgzoo.testing.losses import check_loss
from ecgzoo.testing.readers import check_reader
from ecgzoo.testing.transforms import check_transform
from ecgzoo.weights.resolve import load_registered


def check(kind: str, name: str, root: str | Path | None = None) -> Findings:
    """Run the conformance check of a registered name; a factory that cannot be imported is a failure, too.

    Args:
        kind: a kind, as in `ecgzoo list`.
        name: a registered name, or ``distribution::name``.
        root: folder with its files, for a data set that needs one.

    Raises:
        RegistryError: nothing of this kind has this name.
    """
    found = registry.get(kind, name)
    findings = _check(kind, name, root, found)
    for conflict in registry.conflicts(kind):
        if conflict.refused == found.distribution and conflict.name in (found.spec.name, *found.spec.aliases):
            other = f"that of {conflict.kept}" if conflict.kept else "of several plugins"
            findings.notes["name"] = f"{conflict.name} alone is {other}; this is {conflict.refused}::{conflict.name}"
    if found.spec.deprecated_by:
        with findings.clause("deprecated_by") as require:
            try:
                registry.lookup(kind, found.spec.deprecated_by)
            except RegistryError as error:
                require(False, str(error))
    return findings


def _check(kind: str, name: str, root: str | Path | None, found: registry.Registered) -> Findings:
    findings = Findings(name)
    with findings.clause("factory") as require:
        require(callable(registry.factory(found)), f"{found.spec.factory} cannot be called")
    if findings.failures:
        return findings
    try:
        if kind == "backbone":
            return check_backbone(name)
        if kind == "loss":
            return check_loss(name)
        if kind == "transform":
            return check_transform(name)
        if kind == "dataset":
            return check_dataset(name, root)
        if kind == "reader":
            with tempfile.TemporaryDirectory() as folder:
                return check_reader(name, folder)
    except Exception as error:  # third-party code may raise anything
        findings.clauses["check"] = [f"raised {type(error).__name__}: {error}"]
    if kind == "weights":
        _check_weights(found, findings)
    return findings  # for a recipe, only the import is checked


def _check_weights(found: registry.Registered, findings: Findings) -> None:
    with findings.clause("folder") as require:
        config = load_registered(found).config
        leads = found.spec.leads
        require(leads in ((), config.leads), f"leads are {', '.join(config.leads)}, its spec says {', '.join(leads)}")
        require(bool(config.classes), "has no class names, so it cannot predict; train it")
