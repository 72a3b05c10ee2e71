# SPDX-License-Identifier: Apache-2.0
"""m of n people say yes to exactly one thing, once: the one mechanism for what nobody may do alone."""
