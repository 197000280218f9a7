"""One data owner's daemon: policy, ledger, vault, data, executor."""
