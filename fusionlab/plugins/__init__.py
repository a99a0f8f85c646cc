"""Plugins: find and load them, register what they offer, and build methods by name.

Read `offers`, `presets` and `tasks` (what a plugin describes), `host` (how plugins are found),
`registry` (what they offer), `method_names` and `factory` (from a name to a strategy or a
backbone), `listing` (the Python functions that list and load), `failures` (what they raise).
"""

NO_PLUGIN = "FUSIONLAB_NO_PLUGIN"
"""Environment variable: names of plugins to leave out, separated by spaces."""
