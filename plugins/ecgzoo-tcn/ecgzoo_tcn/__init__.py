"""Temporal convolutional networks as ecgzoo backbones."""
