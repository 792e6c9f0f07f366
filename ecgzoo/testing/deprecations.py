"""assert_nothing_overdue: a deprecated name goes when it was said to go."""

from importlib.metadata import version

from packaging.version import Version

from ecgzoo import registry
from ecgzoo.plugins import KINDS


def assert_nothing_overdue(distribution: str) -> None:
    """Check that no deprecated name of `distribution` is still there in the version in which it was to be removed.

    Raises:
        AssertionError: the first such name.
    """
    now = Version(version(distribution))
    for kind in KINDS:
        for name in registry.names(kind):
            found = registry.lookup(kind, name)
            if found.distribution == distribution and found.spec.removed_in:
                gone = Version(found.spec.removed_in)
                assert now < gone, f"{found} was to be removed in {gone}; remove it, or move its removal"
