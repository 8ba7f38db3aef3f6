"""``python -m bench``: what can be measured, and how.

    python -m bench.parity      raidz parity and reconstruction beside OpenZFS's own code, ISA-L and zfec
    python -m bench.calls       what a call of these from Python costs besides the work
    python -m bench.checksums   checksums beside OpenZFS's own, hashlib and blake3
    python -m bench.plot        a picture of such results
    python -m bench.zio_write   writing blocks: checksum, parity, pwritev, beside the parts alone
    python -m bench.alloc       finding room for blocks, in empty and in fragmented pools
    python -m bench.verify      verifying and opening pools beside zdb and OpenZFS's own scrub
"""

from __future__ import annotations

print(__doc__, end="")
