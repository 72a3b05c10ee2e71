# SPDX-License-Identifier: Apache-2.0
"""The operators' JSON API, one file a noun: decode, authorise, one call to a room, encode."""
