"""Cut the first 4,096 merges off CLIP's byte-pair encoding (open_clip, MIT): the small text towers' vocabulary.

python tools/build_bpe.py        writes src/safeclip/model/bpe_4096.txt.gz
"""

import gzip
from pathlib import Path

from open_clip.tokenizer import default_bpe

MERGES = 4096
lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode("utf-8").split("\n")[: MERGES + 1]
target = Path(__file__).parents[1] / "src/safeclip/model/bpe_4096.txt.gz"
target.write_bytes(gzip.compress("\n".join(lines).encode("utf-8"), 9, mtime=0))
print(f"{target}: {len(lines) - 1} merges, {target.stat().st_size} bytes")
