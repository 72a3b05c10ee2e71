# SPDX-License-Identifier: Apache-2.0
"""Which devices does a text mean: one small language for whatever chooses devices."""
