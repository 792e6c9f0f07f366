"""assert_nothing_overdue: a deprecated name goes when it was said to go."""

from importlib.metadata import version

from packaging.version import Version

from ecgzoo.plugins import load_plugins


def assert_nothing_overdue(distribution: str) -> None:
    """Check that no deprecated name of `distribution` is still there in the version in which it was to be removed.

    Raises:
        AssertionError: the first such name.
    """
    now = Version(version(distribution))
    for plugin in load_plugins().plugins:
        for kind, spec in plugin.provides if plugin.distribution == distribution else ():
            if spec.removed_in:
                gone = Version(spec.removed_in)
                said = f"{kind} {spec.name} of {distribution} {now} was to be removed in {gone}"
                assert now < gone, f"{said}; remove it, or move its removal"
