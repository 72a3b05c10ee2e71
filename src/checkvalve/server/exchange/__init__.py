# SPDX-License-Identifier: Apache-2.0
"""The one crossing: what a device brings and takes, each in one transaction of a fixed list of actions."""
