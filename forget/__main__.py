"""``python -m forget``."""

import sys

from forget.cli.main import main

sys.exit(main())
