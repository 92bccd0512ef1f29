"""Makes each file named that is not there yet: 48 random bytes in base64, for nobody but this user to read."""

from __future__ import annotations

import base64
import os
import secrets
import sys

for path in sys.argv[1:]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        continue
    os.write(descriptor, base64.b64encode(secrets.token_bytes(48)))
    os.close(descriptor)
    sys.stdout.write(f"made {path}\n")
