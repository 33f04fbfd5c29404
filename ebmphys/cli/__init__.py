"""The command line."""

import sys


def entry() -> None:
    """What the installed command calls; Ctrl-C is answered while the libraries are still loading, too."""
    try:
        from ebmphys.cli.verbs import main

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
