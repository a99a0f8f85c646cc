"""What the frames of a result are written as: images in a folder, a stack of pages, a video.

Each is written in segments of some seconds, which are complete once they are closed, so that a run
that was killed continues after the last of them. Read first: `output.py`.
"""
