# SPDX-License-Identifier: Apache-2.0
"""The device process: dials out only, works for months without its plane, and always comes back to what was good.

`plan`, `recover`, `health`, `trust` and `receipts` decide and touch nothing; `ports` says what they are decided about;
`engine`, `link`, `disk` and `clocks` are those ports, each in a real and a simulated form. `docs/walks/attempt.md`
tells how one attempt goes through them.
"""
