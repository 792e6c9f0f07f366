"""What the packages in ``plugins/`` provide: an unknown name is then answered with what to install.

`tests/plugins/test_providers.py` compares this page with those packages.
"""

import re

PROVIDES: dict[str, dict[str, tuple[str, ...]]] = {
    "ecgzoo-losses": {"loss": ("fitnet", "at", "rkd", "simkd", "dkd", "dist", "mld", "logit_std")},
    "ecgzoo-tcn": {"backbone": ("tcn_small", "tcn_base")},
}
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def provider(kind: str, name: str) -> str | None:
    """The distribution that provides `name` of this kind, as ``distribution::name`` says or as `PROVIDES` knows."""
    said, separator, bare = name.rpartition("::")
    if separator:
        return said if _DISTRIBUTION.fullmatch(said) else None
    return next((given for given, things in PROVIDES.items() if bare in things.get(kind, ())), None)
