# SPDX-License-Identifier: Apache-2.0
"""Files named by their content: the layers, configs and manifests of images, and how an archive becomes them."""
