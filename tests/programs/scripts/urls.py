"""urllib: fetches the URLs, prints the SHA-256 of each.  urls.py URL ..."""

import hashlib
import sys
import urllib.request

for url in sys.argv[1:]:
    with urllib.request.urlopen(url, timeout=100) as response:
        print(hashlib.sha256(response.read()).hexdigest())
