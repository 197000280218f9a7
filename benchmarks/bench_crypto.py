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
import rbcl
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, str(Path(__file__).resolve().parent))
import crypto_lattice
from rows import Row, one_thread, publish, seconds

from parley.crypto import curve
from parley.crypto.ahe import Layout
from parley.crypto.ahe.paillier import PaillierSecretKey, to_int
from parley.crypto.seal import Channel, KKHandshake, StaticKey

BITS = 2048
GH = Layout(channels=2, bound=1 << 32, max_rows=1 << 20)
BLOCK = 4 << 20


def curve_rows(n: int = 2048) -> list[Row]:
    """Points times one secret scalar, against libsodium's call for the same."""
    points = curve.hash_to_group(curve.Ids.from_list([b"%d" % i for i in range(n)]), b"benchmark")
    scalar = curve.random_scalar()
    few = [p.tobytes() for p in points[: n // 4]]
    ours = n / seconds(lambda: curve.multiply(points, scalar))
    bare = len(few) / seconds(lambda: [rbcl.crypto_scalarmult_ristretto255(scalar, p) for p in few])
    about = {"rows": n, "threads": 1, "yardstick": "libsodium crypto_scalarmult_ristretto255"}
    return [Row("curve multiplication", ours, "points/s", bare, "higher", about)]


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
    response = key.response(key.encrypt(values, GH).raw, n * group, GH)
    about = {"rows": n, "key_bits": BITS, "threads": 1, "yardstick": "phe with gmpy2"}
    unit = "ciphertexts/s"
    own = n / seconds(lambda: key.encrypt(values, GH))
    peer = n / seconds(lambda: key.public.encrypt(values, GH))
    opened = n / seconds(lambda: key.decrypt(response, GH))
    return [
        Row("Paillier encryption, own key", own, unit, phe_encrypts, "higher", about),
        Row("Paillier encryption, a peer's key", peer, unit, phe_encrypts, "higher", about),
        Row(f"Paillier decryption, {group} sums each", opened, unit, phe_decrypts, "higher", about),
    ]


def modular_rows(n: int = 1000, features: int = 10, n_bins: int = 33) -> list[Row]:
    """Products modulo n^2, and sums by bin, against gmpy2's multiplication and remainder."""
    key = PaillierSecretKey.generate(BITS)
    public, square = key.public, gmpy2.mpz(key.public.n**2)
    ct = public.ciphertexts(key.encrypt(np.ones((n, 2), np.int64), GH).raw)
    numbers = [gmpy2.mpz(to_int(row)) for row in public.field.leave(ct.inner, 1)]
    bins = np.random.default_rng(1).integers(0, n_bins, (n, features)).astype(np.uint16)
    bare = n / seconds(lambda: [x * x % square for x in numbers])
    product = n / seconds(lambda: public.field.mul(ct.inner, ct.inner, 1))
    histogram = n * features / seconds(lambda: public.histogram(ct, bins, n_bins, None))
    about = {"rows": n, "key_bits": BITS, "threads": 1, "yardstick": "gmpy2 x * y % n^2"}
    wide = {**about, "features": features, "bins": n_bins}
    return [
        Row("product modulo n^2", product, "products/s", bare, "higher", about),
        Row("sums by bin", histogram, "row-features/s", bare, "higher", wide),
    ]


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
        rows = [*curve_rows(), *modular_rows(), *paillier_rows(), *sealing_rows()]
    rows += crypto_lattice.rows()
    publish("crypto", "Primitives against their yardsticks", rows)


if __name__ == "__main__":
    main()
