"""What the packages in ``plugins/`` provide, so that the error for an unknown name can say what to install.

`tests/plugins/test_providers.py` compares this module with those packages.
"""

import re

PROVIDES: dict[str, dict[str, tuple[str, ...]]] = {
    "ecgzoo-losses": {"loss": ("fitnet", "at", "rkd", "simkd", "dkd", "dist", "mld", "logit_std")},
    "ecgzoo-tcn": {"backbone": ("tcn_small", "tcn_base")},
}
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def provider(kind: str, name: str) -> str | None:
    """The distribution that provides `name` of this kind, from ``distribution::name`` or from `PROVIDES`."""
    said, separator, bare = name.rpartition("::")
    if separator:
        return said if _DISTRIBUTION.fullmatch(said) else None
    return next((given for given, things in PROVIDES.items() if bare in things.get(kind, ())), None)
