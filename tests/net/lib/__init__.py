# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the network tests are made of: namespace, daemon, clients and servers."""
