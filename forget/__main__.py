"""``python -m forget``."""

import sys

from forget.cli import main

sys.exit(main())
