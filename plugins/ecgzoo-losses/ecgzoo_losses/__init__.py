"""Distillation losses for ecgzoo, one file each; ``plugin.py`` registers them. No torch import."""
