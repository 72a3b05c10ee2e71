# SPDX-License-Identifier: Apache-2.0
"""The whole matrices, which take longer than a test may. `make proofs` goes on where it stopped; results are dated."""
