"""What a trained model is: plain numbers, what they were learned from, and how later rows judged them."""

from dataclasses import dataclass

from swarmtally.learning.answers import Interval
from swarmtally.learning.learners import Kind
from swarmtally.learning.models import Linear, Medians, Odds, Rates, Sums, Trees
from swarmtally.learning.ranges import Range, Scope
from swarmtally.learning.rows import Level, Target
from swarmtally.learning.support import Support


@dataclass(frozen=True, slots=True)
class Predictor:
    """What rows taught about one target; plain numbers, asked without any library's model."""

    target: Target
    kind: Kind
    level: Level
    n: int
    trained_from_ns: int
    trained_until_ns: int
    seed: int
    skill: Interval | None
    """The share of the group median's absolute log error (success: of the group rate's Brier score) that is saved on
    later data. None where the model is that rate itself, or too few of the later rows succeeded or failed."""
    coverage: float | None
    """The share of later rows inside intervals of `LEVEL`; None where too few were tested, and of success, because a
    single outcome lies in no interval of a probability."""
    coverage_n: int
    scope: Scope
    model: Medians | Linear | Sums | Trees | Odds | Rates
    offsets: tuple[float, float]
    """From a prediction to its bounds, in the logarithm; (0, 0) of success."""
    support: Support

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Of each factor that some rows know."""
        return self.scope.ranges
