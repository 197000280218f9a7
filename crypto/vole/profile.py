"""Which code and how much noise stand behind pseudorandom correlations: the assumption, in the open.

Guarantee: none of its own. A profile names the dual-LPN problem that a run rests on: the code is an expand-convolute
code over 2m positions (systematic half; the other half convolved twice with 24 random taps, then an expander of weight
D with one place in each of D equal stretches), drawn fresh from a public seed for every run; the noise is regular, one
random non-zero element of GF(2^64) in each of at least t blocks.
Not guaranteed: a number of bits. No estimator of decoding attacks has been run on these parameters, and attacks on
regular noise in particular (Briaud, Oygarden 2023 and later) have not been costed here. What stands behind t is the
linear-test rule (1 - 2d)^t <= 2^-128 for a code whose pseudo-distance is at least d of its length: t = 640 needs
d >= 0.065. Sampled codes of small size lie above twice that, for single outputs, sums of two, and greedy sums. An
expander with places anywhere does not: at D = 7 the worst of a million outputs would depend on a fifteenth of the
positions, which is why the stretches are part of the code.

Silver codes are refused by name: they are broken (Raghuraman, Rindal, Tanguy 2023).

Source: Raghuraman, Rindal, Tanguy 2023 (expand-convolute codes); Boyle et al. 2019 (dual LPN, regular noise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parley.crypto.errors import CryptoError
from parley.crypto.ot.extension import WIDTH, words_for

DIRECT: Final = 2560  # up to here each correlation is made by oblivious transfer, without an assumption on codes
MAX_COUNT: Final = 1 << 25


@dataclass(frozen=True)
class Profile:
    """A code and its noise. `pseudo_distance` is what is assumed of the code, as a part of its length."""

    name: str
    code: str
    weight: int
    taps: int
    noise: int
    pseudo_distance: float


CONSERVATIVE: Final = Profile("conservative", "expand-convolute", 21, 24, 640, 0.065)
FAST: Final = Profile("fast", "expand-convolute", 7, 24, 640, 0.065)
PROFILES: Final = {p.name: p for p in (CONSERVATIVE, FAST)}


def profile(name: str) -> Profile:
    """A profile by name; CryptoError "refused_code" for a code known to be broken, else "unknown_profile"."""
    if "silver" in name.lower():
        raise CryptoError("refused_code", "Silver codes are broken", hint="Use conservative or fast.")
    if name not in PROFILES:
        raise CryptoError("unknown_profile", "there is no such profile", hint=f"Known: {', '.join(PROFILES)}.")
    return PROFILES[name]


@dataclass(frozen=True)
class Plan:
    """How `count` correlations are made: `trees` of 2^levels leaves, or `trees` = count transfers where levels is 0."""

    profile: Profile
    count: int
    trees: int
    levels: int

    @property
    def positions(self) -> int:
        """2m, all leaves together; the code gives at most half as many outputs."""
        return self.trees << self.levels

    @property
    def transfers(self) -> int:
        """Oblivious transfers that the trees need, one for each level."""
        return self.trees * self.levels

    def bytes_up(self) -> int:
        """Bytes from the receiver: offer, corrections of elements and of transfers."""
        return 32 + 8 * WIDTH * (self.trees + words_for(self.transfers))

    def bytes_down(self) -> int:
        """Bytes from the sender: replies, sums and totals of the trees."""
        return 32 * WIDTH + (32 * self.transfers + 16 * self.trees if self.levels else 0)


def most(code: Profile, count: int) -> tuple[int, int]:
    """Trees and transfers that the plan of no smaller count exceeds: for caps that are set before counts are known."""
    if count <= DIRECT:
        return count, 0
    return max(DIRECT, 2 * code.noise), 2 * code.noise * _levels(code, count)


def _levels(code: Profile, count: int) -> int:
    return (2 * count // code.noise).bit_length() - 1


def plan(code: Profile, count: int) -> Plan:
    """The plan for `count` correlations, 1 <= count <= 2^25; it depends on these two alone."""
    if code not in PROFILES.values():
        raise CryptoError("unknown_profile", "a profile of this module is needed")
    if not 1 <= count <= MAX_COUNT:
        raise CryptoError("bad_range", "from 1 to 2^25 correlations")
    if count <= DIRECT:
        return Plan(code, count, count, 0)
    levels = _levels(code, count)
    return Plan(code, count, -(-2 * count >> levels), levels)
