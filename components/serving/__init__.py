"""Scoring with a trained model at one party, offline and online."""
