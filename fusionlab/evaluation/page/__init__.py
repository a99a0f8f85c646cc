"""The page of a study: an HTML page of its tables, plots and images, opened from the disk.

Read `write` (the public function), `content` (the tables), `values` and `images` (what the page
loads on demand), `html` (templates and scripts, in `templates/` and `static/`).
"""
