"""Makes the protocols of `runtime_protocols` known in the step processes of a test."""

import runtime_protocols

from parley.protocols import registry

registry.PROTOCOLS[runtime_protocols.NAME] = ("runtime_protocols", "PACE")
