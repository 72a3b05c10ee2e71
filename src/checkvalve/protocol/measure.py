# SPDX-License-Identifier: Apache-2.0
"""What the documents between device and plane are made of: forms of text and numbers."""

from typing import Annotated

from msgspec import Meta

from checkvalve.protocol.api import TEXT

Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Wall = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Unix milliseconds by the device's own clock.")]
Sentence = Annotated[str, Meta(max_length=1_000, pattern=TEXT)]
Ref = Annotated[str, Meta(max_length=80, pattern=TEXT)]  # sha256:…, or empty
