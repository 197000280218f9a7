"""Oblivious transfer: `base` by public-key operations, `extension` of 128 of those to any number."""
