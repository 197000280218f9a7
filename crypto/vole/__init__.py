"""Vector oblivious linear evaluation, and the oblivious evaluation of a set that is built on it."""
