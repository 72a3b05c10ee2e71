# SPDX-License-Identifier: Apache-2.0
"""What keeps the tree plain: small rules over its syntax, each shown to catch what it is for."""
