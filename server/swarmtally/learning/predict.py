"""Train a model on rows, and ask it: an answer has an interval that later rows have tested, or says what is missing."""

from swarmtally.learning.answers import Insufficient, Interval, Prediction

__all__ = ["Insufficient", "Interval", "Prediction"]
