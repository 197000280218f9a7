"""What crosses a process boundary: messages, envelopes, identities, contracts, declarations."""
