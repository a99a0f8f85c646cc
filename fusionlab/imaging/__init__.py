"""Files and arrays to tensors and back.

Read `reading`, then `arrays` (the `Stack` that the engine works on), then `writing`. `scale`,
`color`, `range_policy` and `depth` are the settings; `rows` is for images larger than the memory.
"""
