"""An ecgzoo plugin with one loss."""
