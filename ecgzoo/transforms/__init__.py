"""One file per transform; the contract is in ``contract.py``. This module imports no torch."""

from ecgzoo.specs import TransformSpec

SPECS = (
    TransformSpec(
        name="mixup",
        factory="ecgzoo.transforms.mixup:Mixup",
        summary="mix pairs of records, with a share from Beta(amount, amount), for both networks (arXiv 1710.09412)",
    ),
    TransformSpec(
        name="any_lead",
        factory="ecgzoo.transforms.any_lead:AnyLead",
        summary="random leads in a share of the student's crops, in the first half of the epochs",
    ),
    TransformSpec(
        name="gain",
        factory="ecgzoo.transforms.gain:Gain",
        summary="multiply the amplitude by a factor from 1/(1 + amount) to 1 + amount",
    ),
    TransformSpec(
        name="noise",
        factory="ecgzoo.transforms.noise:Noise",
        summary="add up to amount mV of baseline wander, 50 or 60 Hz mains and muscle noise, in random proportions",
    ),
    TransformSpec(
        name="wander",
        factory="ecgzoo.transforms.wander:Wander",
        summary="add up to amount mV of baseline wander between 0.05 and 0.5 Hz",
    ),
    TransformSpec(
        name="polarity",
        factory="ecgzoo.transforms.polarity:Polarity",
        summary="invert a share of the records",
    ),
    TransformSpec(
        name="time_mask",
        factory="ecgzoo.transforms.time_mask:TimeMask",
        summary="replace one segment, up to a share of the crop, by the lead's mean",
    ),
    TransformSpec(
        name="filter",
        factory="ecgzoo.transforms.filter:Filter",
        summary="filter a share of the records to the band of a smartwatch, 0.5 to 40 Hz",
    ),
    TransformSpec(
        name="resample",
        factory="ecgzoo.transforms.resample:Resample",
        summary="change the sampling rate by up to a share",
    ),
)
