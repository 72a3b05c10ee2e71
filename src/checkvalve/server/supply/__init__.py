# SPDX-License-Identifier: Apache-2.0
"""What may run: images, releases made of them, the draft that signers sign, and the metadata that devices believe."""
