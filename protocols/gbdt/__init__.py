"""Gradient boosted trees over columns that several parties hold."""
