# SPDX-License-Identifier: Apache-2.0
"""Hashes of the Merkle tree the audit log is sequenced into (RFC 6962, section 2.1, with SHA-256)."""

import hashlib

_LEAF = b"\x00"


def leaf_hash(entry: bytes) -> bytes:
    """Return the 32-byte hash of one entry; its prefix keeps a leaf from passing for an inner node."""
    return hashlib.sha256(_LEAF + entry).digest()
