"""Every registered transform against the contract, and the contract against transforms that break it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgzoo import registry
from ecgzoo.losses.contract import Batch
from ecgzoo.testing import assert_transform_conforms
from ecgzoo.transforms.contract import Crops, SignalTransform, Transform


@pytest.mark.parametrize("name", registry.names("transform"))
def test_every_transform_conforms(name: str) -> None:
    assert_transform_conforms(name)


class Good(SignalTransform):
    def changed(self, crops: Crops) -> torch.Tensor:
        return crops.millivolts * crops.draws.uniform(1, 1)


class InPlace(Good):
    def changed(self, crops):
        return crops.millivolts.mul_(crops.draws.uniform(1, 1))


class OwnRandomness(Good):
    def changed(self, crops):
        return crops.millivolts * np.random.default_rng().random()


class GlobalRandomness(Good):
    def changed(self, crops):
        return crops.millivolts * torch.rand(())


class Counting(Good):
    seen = 0

    def changed(self, crops):
        self.seen += 1
        return super().changed(crops) * self.seen


class OtherLabels(Good):
    def __call__(self, crops, done):
        labels = 1 - crops.batch.labels
        return replace(super().__call__(crops, done), batch=replace(crops.batch, labels=labels))


class MoreLabels(Transform):
    sees, keeps_labels = "both", False

    def __call__(self, crops, done):
        return replace(crops, batch=Batch(crops.batch.labels.repeat(1, 2), crops.batch.index))


class OtherRecords(Good):
    def __call__(self, crops, done):
        return replace(super().__call__(crops, done), batch=replace(crops.batch, index=crops.batch.index + 1))


class NotANumber(Good):
    def changed(self, crops):
        return super().changed(crops) / 0 * 0


class MoreLater(Good):
    def __call__(self, crops, done):
        changed = super().__call__(crops, done)
        return replace(changed, millivolts=changed.millivolts * (1 + done))


class NotANumberLater(Good):
    def __call__(self, crops, done):
        changed = super().__call__(crops, done)
        return replace(changed, millivolts=changed.millivolts / (done < 0.5))


class Cut(Good):
    def __call__(self, crops, done):
        return replace(crops, millivolts=self.changed(crops)[:, :, 1:])


class Double(Good):
    def __call__(self, crops, done):
        return replace(crops, millivolts=self.changed(crops).double())


class Renamed(Good):
    def __call__(self, crops, done):
        return replace(super().__call__(crops, done), leads=crops.leads[::-1])


class OnlySignals(Good):
    def __call__(self, crops, done):
        return self.changed(crops)


class Nothing(Good):
    def changed(self, crops):
        return crops.millivolts.clone()


class IgnoresDraws(Good):
    def changed(self, crops):
        return -crops.millivolts


class OfTheBatch(Good):
    """What a record becomes depends on the others, of which another process has half."""

    def changed(self, crops):
        return super().changed(crops) + crops.millivolts.mean(0)


class LabelsInPlace(Good):
    def __call__(self, crops, done):
        crops.batch.labels.mul_(0.9)
        return super().__call__(crops, done)


class OneLeadInPlace(Good):
    def __call__(self, crops, done):
        return super().__call__(crops, done) if len(crops.leads) > 1 else InPlace.__call__(self, crops, done)

    def changed(self, crops):
        return InPlace.changed(self, crops) if len(crops.leads) == 1 else super().changed(crops)


class Microvolts(Good):
    def changed(self, crops):
        return 1000 * super().changed(crops)


class OtherAuxiliary(Good):
    def __call__(self, crops, done):
        batch = replace(crops.batch, auxiliary=1 - crops.batch.auxiliary)
        return replace(super().__call__(crops, done), batch=batch)


class HalfMixup(Transform):
    """Leaves the labels of the second task as they are."""

    sees, keeps_labels, keeps_identity, uses_done = "both", False, False, False

    def __call__(self, crops, done):
        share = crops.draws.beta(1.0)
        signals, labels = (share * x + (1 - share) * x.roll(1, 0) for x in (crops.millivolts, crops.batch.labels))
        return replace(crops, millivolts=signals, batch=replace(crops.batch, labels=labels))


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (LabelsInPlace, "changes labels of the batch that it is given"),
        (OneLeadInPlace, "one lead: changes the crops that it is given"),
        (Microvolts, r"gives signals of \S+ mV for crops of about 1 mV"),
        (OtherAuxiliary, "changes labels without declaring it"),
        (HalfMixup, "mixes records and their labels, but not those of the second task"),
        (InPlace, "changes the crops that it is given"),
        (GlobalRandomness, "torch's global random numbers"),
        (OwnRandomness, "does not repeat itself"),
        (Counting, "does not repeat itself"),
        (OtherLabels, "changes labels without declaring it"),
        (MoreLabels, "changes the number of labels"),
        (OtherRecords, "changes record indices without declaring it"),
        (NotANumber, "not finite"),
        (NotANumberLater, "not finite"),
        (MoreLater, "uses the share of epochs done without declaring it"),
        (Cut, "millivolts of shape"),
        (Double, "millivolts of dtype"),
        (Renamed, "changes lead names or rate"),
        (OnlySignals, "gives a Tensor, expected Crops"),
        (Nothing, "changes nothing"),
        (IgnoresDraws, "ignores the draws"),
        (OfTheBatch, "does not get its rows"),
    ],
)
def test_a_transform_that_breaks_the_contract_is_told_how(
    monkeypatch: pytest.MonkeyPatch, transform: type[Transform], reason: str
) -> None:
    monkeypatch.setattr(registry, "factory", lambda found: transform)
    with pytest.raises(AssertionError, match=reason):
        assert_transform_conforms("gain")


def test_a_good_transform_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "factory", lambda found: Good)
    assert_transform_conforms("gain")
