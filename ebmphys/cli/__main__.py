"""``python -m ebmphys.cli``, where the command is not on the path."""

import sys

from ebmphys.cli.verbs import main

sys.exit(main())
