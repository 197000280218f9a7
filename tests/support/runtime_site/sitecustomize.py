"""Makes the protocols of `runtime_protocols` known in the step processes of a test."""

import runtime_protocols  # noqa: F401  registers itself
