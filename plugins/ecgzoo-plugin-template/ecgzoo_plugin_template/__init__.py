"""The smallest ecgzoo plugin: one loss."""
