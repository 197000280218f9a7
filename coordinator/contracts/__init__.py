"""Assembling the contract that every party signs. The coordinator signs nothing itself."""
