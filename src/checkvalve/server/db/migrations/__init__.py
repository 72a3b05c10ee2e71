# SPDX-License-Identifier: Apache-2.0
"""Steps from one schema to the next (Alembic), run by `init` and `serve` before anything else (ADR 0007)."""
