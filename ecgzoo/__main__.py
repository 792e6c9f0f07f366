"""``python -m ecgzoo`` is the command ``ecgzoo``."""

try:
    from ecgzoo.cli.app import main

    main()
except KeyboardInterrupt:  # while importing
    import os

    os.write(2, b"stopped\n")
    os._exit(130)
