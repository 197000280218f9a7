"""The primitives against bare libraries that do the same, one thread on either side.

python benchmarks/bench_crypto.py        prints a table, writes build/bench/crypto.json
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gmpy2
import numpy as np
import phe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, str(Path(__file__).resolve().parent))
import crypto_curve
import crypto_lattice
import crypto_noise
import crypto_vole
from rows import Row, one_thread, publish, seconds

from parley.crypto import _native
from parley.crypto.ahe import Layout
from parley.crypto.ahe.paillier import PaillierSecretKey, to_int, to_limbs
from parley.crypto.seal import Channel, KKHandshake, StaticKey

BITS = 2048
GH = Layout(channels=2, bound=1 << 32, max_rows=1 << 20)
BLOCK = 4 << 20


def paillier_rows(n: int = 256, theirs_n: int = 12) -> list[Row]:
    """Encryption under one's own key and a peer's, and decryption, against phe on gmpy2."""
    if not phe.util.HAVE_GMP:
        raise SystemExit("phe runs without gmpy2 here: not a yardstick")
    key = PaillierSecretKey.generate(BITS)
    theirs = phe.PaillierPublicKey(key.public.n)
    p, q = (side.p for side in key._sides)
    secret = phe.PaillierPrivateKey(theirs, p, q)
    values = np.random.default_rng(1).integers(-GH.bound, GH.bound, (n, 2))
    plain = [int(v) for v in values[:theirs_n, 0] % (1 << 32)]
    phe_encrypts = theirs_n / seconds(lambda: [theirs.raw_encrypt(m) for m in plain], 2)
    ciphers = [theirs.raw_encrypt(m) for m in plain]
    phe_decrypts = theirs_n / seconds(lambda: [secret.raw_decrypt(c) for c in ciphers])
    group = GH.per_plaintext(BITS - 1)
    response = key.response(key.encrypt(values, GH), n * group, GH)
    about = {"rows": n, "key_bits": BITS, "threads": 1, "yardstick": "phe with gmpy2"}
    unit = "ciphertexts/s"
    own = n / seconds(lambda: key.encrypt(values, GH))
    peer = n / seconds(lambda: key.public.encrypt(values, GH))
    opened = n / seconds(lambda: key.decrypt(response, GH))
    return [
        Row("Paillier encryption, own key", own, unit, phe_encrypts, "higher", about, 40),
        Row("Paillier encryption, a peer's key", peer, unit, phe_encrypts, "higher", about, 40),
        Row(
            f"Paillier decryption, {group} sums each", opened, unit, phe_decrypts, "higher", about, 1.2 if ifma() else 1
        ),
    ]


def modular_rows(n: int = 1000, features: int = 10, n_bins: int = 33) -> list[Row]:
    """Products modulo n^2, and sums by bin, against gmpy2's multiplication and remainder."""
    key = PaillierSecretKey.generate(BITS)
    public, square = key.public, gmpy2.mpz(key.public.n**2)
    ct = public.ciphertexts(key.encrypt(np.ones((n, 2), np.int64), GH), n)
    numbers = [gmpy2.mpz(to_int(row)) for row in public.field.leave(ct.inner, 1)]
    bins = np.random.default_rng(1).integers(0, n_bins, (n, features)).astype(np.uint16)
    counts = np.full(features, n_bins, np.uint32)
    bare = n / seconds(lambda: [x * x % square for x in numbers])
    product = n / seconds(lambda: public.field.mul(ct.inner, ct.inner, 1))
    histogram = n * features / seconds(lambda: public.histogram(ct, bins, counts, None))
    about = {"rows": n, "key_bits": BITS, "threads": 1, "yardstick": "gmpy2 x * y % n^2"}
    wide = {**about, "features": features, "bins": n_bins}
    return [
        Row(
            "Paillier addition (product modulo n^2)", product, "products/s", bare, "higher", about, 4 if ifma() else 1.5
        ),
        Row("sums by bin", histogram, "row-features/s", bare, "higher", wide),
    ]


def memory_rows(n: int = 100_000) -> list[Row]:
    """What held ciphertexts take of the process' memory, against the bytes they are."""
    key = PaillierSecretKey.generate(BITS)
    public = key.public
    raw = np.concatenate([key.encrypt(np.ones((1000, 2), np.int64), GH)] * (n // 1000))
    before = resident()
    held = public.ciphertexts(raw, n)
    grown = resident() - before
    about = {"rows": len(held), "key_bits": BITS, "yardstick": "their bytes on the wire"}
    return [Row("memory of held ciphertexts", grown / 1e6, "MB", n * public.size / 1e6, "lower", about, 1.2)]


def ifma() -> bool:
    """Whether products run on AVX-512-IFMA, of which more is asked."""
    return _native.Field(to_limbs((1 << 4096) - 1, 64)).kernel == "ifma"


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def channel() -> Channel:
    """One end of a channel over AES-GCM."""
    a, b = StaticKey.generate(), StaticKey.generate()
    first = KKHandshake(True, a, b.public, b"benchmark", "AESGCM")
    second = KKHandshake(False, b, a.public, b"benchmark", "AESGCM")
    second.read(first.write())
    first.read(second.write())
    return first.channel()


def sealing_rows() -> list[Row]:
    """A sealed pipe's blocks against the bare cipher on the same bytes."""
    sealed, bare, data, nonce = channel(), AESGCM(os.urandom(32)), os.urandom(BLOCK), bytes(12)
    ours = BLOCK / 1e6 / seconds(lambda: sealed.seal(data), 10)
    # One nonce again and again: the output is thrown away, only its time counts.
    yardstick = BLOCK / 1e6 / seconds(lambda: bare.encrypt(nonce, data, b""), 10)
    about = {"block_bytes": BLOCK, "cipher": "AES-256-GCM", "threads": 1, "yardstick": "bare AES-GCM, whole blocks"}
    return [Row("sealing", ours, "MB/s", yardstick, "higher", about)]


def main() -> None:
    with one_thread():
        rows = [*crypto_curve.rows(), *modular_rows(), *paillier_rows()]
        rows += [*memory_rows(), *sealing_rows(), *crypto_noise.rows(), *crypto_vole.rows()]
    rows += crypto_lattice.rows()
    publish("crypto", "Primitives against their yardsticks", rows)


if __name__ == "__main__":
    main()
