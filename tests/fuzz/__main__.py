import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from fuzz import pools

sys.exit(pools.main(sys.argv[2:]))
