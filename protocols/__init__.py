"""Multi-party programs; each file is one protocol, readable like the paper it comes from."""
