"""The result of an evaluation: tables, files and the report that holds both.

Read `report` first, then `tables` (what the cells hold), `formats` (text, Markdown),
`latex`, and `files` (CSV, JSON).
"""
