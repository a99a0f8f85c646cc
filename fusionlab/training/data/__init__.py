"""The images of a training run: found (`image_files`), decoded once (`image_cache`) and drawn in
batches (`batches`); `samples` does the same for the image sets of learned strategies.
"""
