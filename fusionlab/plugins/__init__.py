"""Plugins: find and load them, and know what they offer.

Read `offers` (what a plugin describes), `host` (how plugins are found), `registry` (what is known
of them), `factory` (from a name to a strategy or a backbone).
"""
