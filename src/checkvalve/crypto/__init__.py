# SPDX-License-Identifier: Apache-2.0
"""The one place that imports a crypto library, so that what is used can be listed, and refused, in one place.

ECDSA P-256 with SHA-256, AES-256-GCM and PBKDF2-HMAC-SHA-256 only. Nothing here reads a clock: time, serial numbers and
salts are arguments. Works with `cryptography` 38 (Debian 12, on the system's OpenSSL) and with the current one.
"""
