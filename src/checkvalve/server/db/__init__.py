# SPDX-License-Identifier: Apache-2.0
"""Connections, transactions, tables and migrations. The only place that knows which database engine runs."""
