# SPDX-License-Identifier: Apache-2.0
"""The plane: rooms of decisions and rows, faces in front of them, one database below (docs/architecture.md)."""
