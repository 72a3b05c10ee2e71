# SPDX-License-Identifier: Apache-2.0
"""One file a noun; each verb is one question or one change, asked of the plane and shown."""
