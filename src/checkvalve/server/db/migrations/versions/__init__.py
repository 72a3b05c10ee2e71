# SPDX-License-Identifier: Apache-2.0
"""One file a step, numbered; a step never changes once released."""
