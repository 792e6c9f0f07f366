"""Distillation losses for ecgzoo, one file each; ``plugin.py`` hands them over. This page imports no torch."""
