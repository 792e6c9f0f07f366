"""Filter: the frequency band of a smartwatch, as a zero-phase Butterworth filter.

X(f) ← X(f) / √((1 + (low/f)^2n)·(1 + (f/high)^2n)),   n the order
"""

import torch
from torch import Tensor

from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import DataInfo
from ecgzoo.transforms.contract import Crops, SignalTransform


class Filter(SignalTransform):
    """Filter a share `amount` of the records to the band from `low_hz` to `high_hz`.

    Args:
        data: the training records.
        amount: share of the records.
        low_hz: lower edge in Hz.
        high_hz: upper edge in Hz.
        order: filter order of each edge.

    Raises:
        RecipeError: `low_hz` is not below `high_hz`, or `order` is below 1.
    """

    most = 1.0

    def __init__(
        self, data: DataInfo, amount: float, *, low_hz: float = 0.5, high_hz: float = 40.0, order: int = 2
    ) -> None:
        super().__init__(data, amount)
        self.share = self.amount
        if not (0 < low_hz < high_hz and order >= 1):
            raise RecipeError(
                f"filter: low_hz={low_hz}, high_hz={high_hz}, order={order}; expected 0 < low_hz < high_hz, order >= 1"
            )
        self.low_hz, self.high_hz, self.order = low_hz, high_hz, order

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``; reflected at the ends, so that there is no step between them."""
        x = crops.millivolts.float()
        samples = x.shape[2]
        padded = torch.cat([x[:, :, 1:].flip(2), x, x[:, :, :-1].flip(2)], dim=2)
        hertz = torch.fft.rfftfreq(padded.shape[2], 1 / crops.rate_hz, device=x.device)
        response = (1 + (self.low_hz / hertz.clamp(min=1e-9)) ** (2 * self.order)).rsqrt()
        response = response * (1 + (hertz / self.high_hz) ** (2 * self.order)).rsqrt()
        kept: Tensor = torch.fft.irfft(torch.fft.rfft(padded) * response, n=padded.shape[2])
        return kept[:, :, samples - 1 : 2 * samples - 1].to(crops.millivolts.dtype)
