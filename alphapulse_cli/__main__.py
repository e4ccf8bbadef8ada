"""`python -m alphapulse_cli` is `alphapulse`."""

import sys

from alphapulse_cli.cli.app import main

sys.exit(main())
