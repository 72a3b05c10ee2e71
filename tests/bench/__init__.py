# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how: `make bench`. Never an assertion of a test, because machines differ."""
