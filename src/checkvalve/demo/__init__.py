# SPDX-License-Identifier: Apache-2.0
"""Shows the main job on real processes, measures what it claims, and says how to check each claim without it."""
