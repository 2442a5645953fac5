"""Whether a certificate chain leads to a certificate that is trusted, as Java's trust manager would have it. Computation only.

Measured on 3.9.5 with Java 25: an issuer is sought in the trust store, or among the certificates that were sent along. Names of issuers
must match and signatures be good; a certificate that is not in the trust store must be a CA's and valid now to sign another one. Those in
the trust store are not asked when they expire. A certificate that lies there itself is trusted, but shown only to who has its issuer's
name there too: a self-signed one is, one of a CA that is not there is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from zkprov.model.certificates import Certificate

MAX_CHAIN = 10


def leads_to(chain: Sequence[Certificate], trusted: Sequence[Certificate], now_s: float | None = None) -> bool:
    """Whether the first of `chain` is trusted. `now_s`: in seconds since 1970; without, nothing has expired."""
    anchors, issuers = {t.sha256 for t in trusted}, {t.subject for t in trusted}
    if chain and chain[0].sha256 in anchors and chain[0].issuer in issuers:
        return True
    reached, seen = list(chain[:1]), set[str]()
    for _ in range(MAX_CHAIN):
        if any(_signed(c, t) for c in reached for t in trusted):
            return True
        seen |= {c.sha256 for c in reached}
        further = (o for o in chain if o.sha256 not in seen and any(_signed(c, o) for c in reached))
        reached = [o for o in further if _is_ca(o) and (now_s is None or o.not_before <= now_s <= o.not_after)]
    return False


def _signed(certificate: Certificate, by: Certificate) -> bool:
    return certificate.issuer == by.subject and _good_signature(certificate.pem, by.pem)


@lru_cache(maxsize=4096)
def _good_signature(pem: str, by: str) -> bool:
    """Each pair is computed once: every look of a run brings the same ones."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        issuer = x509.load_pem_x509_certificate(by.encode())
        x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_ca(certificate: Certificate) -> bool:
    from cryptography import x509

    try:
        read = x509.load_pem_x509_certificate(certificate.pem.encode())
        return bool(read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
