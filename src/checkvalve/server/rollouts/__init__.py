# SPDX-License-Identifier: Apache-2.0
"""A rollout says which release goes to which devices, when, and under whose approval (docs/walks/rollout.md).

It is drafted, proposed, approved and started; then it goes wave by wave, judged by what its devices signed. Devices
find what they are to run in the room `fleet`; what they told of it comes from the exchange.
"""
