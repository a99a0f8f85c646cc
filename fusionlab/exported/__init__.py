"""Methods as one ONNX graph: encoder, strategy and decoder in a file that runs without torch.

Read `metadata` first: what the file of a model says about itself. It imports no torch, and neither
does whatever runs a model.
"""
