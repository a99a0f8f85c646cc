"""Engines: faster ways to run the frozen parts of a fusion."""
