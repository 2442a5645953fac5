"""The files that tell one disk of a server from another, a wiped or a replaced one.

`DISK` lies in dataDir. A wipe of `version-2` alone leaves it; so each `version-2` gets a copy as soon as there is data, and dataDir a
note that it has. ZooKeeper takes no notice of other names in `version-2` than `snapshot.<zxid>` and `log.<zxid>`: it keeps `currentEpoch`
there itself (`Util.getZxidFromName`, `FileSnap`, `FileTxnLog.getLogFiles`, `FileTxnSnapLog.checkLogDir`, `PurgeTxnLog`; 3.5 to 3.9).
"""

from __future__ import annotations

DISK = ".zkprov-disk"
"""In dataDir: the mark, written at the install or when the server is first met."""
NOTE = ".zkprov-data"
"""In dataDir: the mark again, once each `version-2` has its copy. Without it, or with another mark, a missing copy says nothing."""
COPY = "zkprov-disk"
"""In each `version-2`: the mark. No dot: `rm version-2/*` is to take it along."""
