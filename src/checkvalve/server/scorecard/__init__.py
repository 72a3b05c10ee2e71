# SPDX-License-Identifier: Apache-2.0
"""The readiness scorecard: questions, what people answered, what it comes to, and the plan to close what is missing."""
