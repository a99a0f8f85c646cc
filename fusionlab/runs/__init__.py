"""Files in, files out: one image or a folder of them, resuming, records.

Read `file_fusion` first: one image, from its sources to its files (`destination`, `record`,
`notes`). `folder_run` does so for an image set (`image_sets`, and its parts in `pairing`), and
can be resumed (`manifest`).
"""
