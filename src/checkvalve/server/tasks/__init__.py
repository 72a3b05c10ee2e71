# SPDX-License-Identifier: Apache-2.0
"""What the plane does by itself, one file a tick. A tick looks at the state and does what it asks for (ADR 0004)."""
