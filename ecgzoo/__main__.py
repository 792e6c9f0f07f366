"""``python -m ecgzoo`` is the command ``ecgzoo``."""

from ecgzoo.cli.app import main

main()
