"""Whether requests to the network are forbidden."""

import os


def offline() -> bool:
    """Whether ``ECGZOO_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids requests."""
    from huggingface_hub import constants

    asked = (os.environ.get(variable, "") for variable in ("ECGZOO_OFFLINE", "HF_HUB_OFFLINE"))
    return constants.HF_HUB_OFFLINE or any(value.upper() in constants.ENV_VARS_TRUE_VALUES for value in asked)
