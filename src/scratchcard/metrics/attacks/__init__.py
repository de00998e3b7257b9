"""Attacks on images in [0, 1], as functions of tensors; the metrics that use them lie elsewhere.

Every attack leaves an image inside its L-infinity ball and the box, and stops at success.
"""
