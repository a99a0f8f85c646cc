"""Pixels: reading, writing, depth, color, scale, range policy, and the rows of large files.

Read `reading` (files in), `contents` (what a reader returns), `arrays` (arrays in), `rows`,
`writing`; `formats/` has the formats.
"""
