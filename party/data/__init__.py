"""The datasets a party offers to jobs."""

from parley.party.data.datasets import Datasets

__all__ = ["Datasets"]
