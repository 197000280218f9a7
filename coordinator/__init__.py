"""Plans and relays: job lifecycles, contracts, store, API. Holds no key of a party, no payload in clear."""
