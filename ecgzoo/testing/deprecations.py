"""assert_nothing_overdue: check that deprecated names are removed in the announced version."""

from importlib.metadata import version

from packaging.version import Version

from ecgzoo.plugins import load_plugins


def assert_nothing_overdue(distribution: str) -> None:
    """Check that `distribution` has no deprecated name whose announced version of removal is reached.

    Raises:
        AssertionError: the first such name.
    """
    now = Version(version(distribution))
    for plugin in load_plugins().plugins:
        for kind, spec in plugin.provides if plugin.distribution == distribution else ():
            if spec.removed_in:
                gone = Version(spec.removed_in)
                said = f"{kind} {spec.name} of {distribution} {now} should have been removed in {gone}"
                assert now < gone, f"{said}; remove it, or postpone its removal"
