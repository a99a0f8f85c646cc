"""The one exception that is meant for people.

A `FusionlabError` carries a single sentence: what was expected, what came, what to do.
The command line prints it and exits with code 2; Python callers may catch it as the
`ValueError` that it is.
"""


class FusionlabError(ValueError):
    """Something the caller can put right: a file, a size, a name, a number."""
