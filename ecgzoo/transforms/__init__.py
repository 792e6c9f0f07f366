"""One file per transform; the contract is in ``contract.py``. This page imports no torch."""

from ecgzoo.specs import TransformSpec

SPECS = (
    TransformSpec(
        name="mixup",
        factory="ecgzoo.transforms.mixup:Mixup",
        summary="records mixed in pairs by a share from Beta(amount, amount), for both networks (arXiv 1710.09412)",
    ),
    TransformSpec(
        name="any_lead",
        factory="ecgzoo.transforms.any_lead:AnyLead",
        summary="a share of the student's crops shows a random lead, in the first half of the epochs",
    ),
    TransformSpec(
        name="gain",
        factory="ecgzoo.transforms.gain:Gain",
        summary="amplitude times a factor from 1/(1 + amount) to 1 + amount",
    ),
    TransformSpec(
        name="noise",
        factory="ecgzoo.transforms.noise:Noise",
        summary="up to amount mV of baseline wander, 50 or 60 Hz mains and muscle noise, in random parts",
    ),
    TransformSpec(
        name="wander",
        factory="ecgzoo.transforms.wander:Wander",
        summary="up to amount mV of baseline wander between 0.05 and 0.5 Hz",
    ),
    TransformSpec(
        name="polarity",
        factory="ecgzoo.transforms.polarity:Polarity",
        summary="a share of the records upside down",
    ),
    TransformSpec(
        name="time_mask",
        factory="ecgzoo.transforms.time_mask:TimeMask",
        summary="one stretch of up to a share of the crop at the lead's mean",
    ),
    TransformSpec(
        name="filter",
        factory="ecgzoo.transforms.filter:Filter",
        summary="a share of the records in the band that a watch keeps, 0.5 to 40 Hz",
    ),
    TransformSpec(
        name="resample",
        factory="ecgzoo.transforms.resample:Resample",
        summary="a sampling rate that is off by up to a share",
    ),
)

__all__ = ["SPECS"]
