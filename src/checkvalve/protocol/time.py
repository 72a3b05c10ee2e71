# SPDX-License-Identifier: Apache-2.0
"""The plane's signed time: what a device without a clock goes by, and the challenge that a renewal answers.

`<Unix milliseconds>;<base64url of the DER signature>` over the plane's orders key. It is the same for every device and
may be replayed: it only ever says that it is *at least* so late.
"""

import base64
import binascii
import re

from checkvalve.crypto import keys
from checkvalve.errors import InvalidError

HEADER = "checkvalve-time"
_FORM = re.compile(r"([1-9][0-9]{0,15});([A-Za-z0-9_-]{1,200})")


def write(key: keys.PrivateKey, milliseconds: int) -> str:
    """Return this moment (Unix milliseconds), signed."""
    signature = base64.urlsafe_b64encode(keys.sign(key, _signed(milliseconds))).rstrip(b"=")
    return f"{milliseconds};{signature.decode()}"


def read(text: str, key: keys.PublicKey) -> int:
    """Return the Unix milliseconds that `key` signed; `InvalidError` (`time.form`, `time.signature`)."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidError("time.form", "This is no signed time.", "Take it from an answer of the plane as it came.")
    milliseconds = int(found[1])
    try:
        signature = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
    except binascii.Error:
        signature = b""
    if not keys.verify(key, signature, _signed(milliseconds)):
        raise InvalidError("time.signature", "The time is not signed by this plane.", "Ask the plane again.")
    return milliseconds


def _signed(milliseconds: int) -> bytes:
    return b"checkvalve time 1 %d" % milliseconds
