# SPDX-License-Identifier: Apache-2.0
"""The person at the cabinet: a Unix socket of the running agent, what may be asked there, and what is done for it.

`asked` is what both ends say, `asking` the end of the command that is typed, `door` the agent's end. `answers` puts a
request to what answers it: `acts` change something, `words` read what containers say.
"""
