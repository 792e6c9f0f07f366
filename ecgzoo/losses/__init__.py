"""One file per loss; the contract is in ``contract.py``. This module imports no torch."""

from ecgzoo.specs import LossSpec

SPECS = (
    LossSpec(
        name="bce",
        factory="ecgzoo.losses.bce:BCE",
        summary="binary cross-entropy on the labels",
    ),
    LossSpec(
        name="kd",
        factory="ecgzoo.losses.kd:KD",
        summary="vanilla distillation: KL between softmaxes (Hinton et al., arXiv 1503.02531)",
    ),
    LossSpec(
        name="mkd",
        factory="ecgzoo.losses.mkd:MKD",
        summary="multi-label distillation: a Bernoulli KL per class (MKD of arXiv 2301.12178)",
    ),
    LossSpec(
        name="clt",
        factory="ecgzoo.losses.clt:CLT",
        summary="contrastive lead-information transferring over a memory bank (CLT of arXiv 2301.12178)",
    ),
    LossSpec(
        name="aux",
        factory="ecgzoo.losses.aux_labels:AuxLabels",
        summary="binary cross-entropy on the labels of a second, finer task (--aux-task), with a separate head",
    ),
)
