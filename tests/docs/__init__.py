# SPDX-License-Identifier: Apache-2.0
"""The reference pages that are made from the code: `make docs` writes them, a test compares."""
