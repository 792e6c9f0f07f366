"""``python -m ecgzoo`` is the command ``ecgzoo``."""

import sys

try:
    from ecgzoo.cli.app import main

    main()
except KeyboardInterrupt:  # while importing
    print("stopped", file=sys.stderr)
    sys.exit(130)
