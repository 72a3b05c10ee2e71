# SPDX-License-Identifier: Apache-2.0
"""The record of every act. Lowest of the rooms, because all of them write into it."""
