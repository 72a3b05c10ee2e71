# SPDX-License-Identifier: Apache-2.0
"""What can be measured, and what a measurement says: a fact query each, and the states it can be in."""
