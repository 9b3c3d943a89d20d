"""Kinds of networks behind one interface: Keras models, ONNX files, timm's models; they know nothing of each other."""
