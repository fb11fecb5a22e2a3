"""What the check of a converted model has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SATURATED = " (all outputs are 0 or 1, so that small differences would not show)"
NOTABLE = 1e-4  # relative error from which on a user is told


@dataclass(frozen=True, slots=True)
class Check:
    """How a converted model compares.

    Attributes:
        against: the framework and its version.
        relative_error: of the outputs, ‖found − expected‖ / ‖expected‖, the worst output's.
        agreement: share of the samples with the same best class, 0 to 1; of all outputs together.
        samples: how many random inputs.
        saturated: all outputs are 0 or 1 to within rounding, behind which small differences would not show.
    """

    against: str
    relative_error: float
    agreement: float
    samples: int
    saturated: bool = False

    @property
    def is_notable(self) -> bool:
        """Whether a user should hear of it."""
        return self.relative_error > NOTABLE or self.agreement < 1

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"relative error {self.relative_error:.1e}, same best class in {self.agreement:.0%} of {self.samples} "
            f"random inputs, against {self.against}{SATURATED if self.saturated else ''}"
        )
