"""Preparation: steps that each party takes on its own columns of common rows, and those that divide the rows."""
