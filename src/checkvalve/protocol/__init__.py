# SPDX-License-Identifier: Apache-2.0
"""What the places say to each other: types only, shared by both ends. No input or output, no clock."""
