"""Recordings to look at: ECG paper, what a model looked at, a page to hand on."""

from ecgzoo.show.explain import Explanation, explain
from ecgzoo.show.page import write_report
from ecgzoo.show.paper import plot

__all__ = ["Explanation", "explain", "plot", "write_report"]
