"""Studies: a grid of methods, settings and image sets in a file, run to tables and a page.

Read `file` (what a study says), `plan` (its rows, built), `study` (run it, write its tables) and
`results` (what it has found).
"""
