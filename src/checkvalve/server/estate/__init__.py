# SPDX-License-Identifier: Apache-2.0
"""Room: the declared estate, what there is at each place whether it is managed or not. Percentages divide by it."""
