#!/usr/bin/env python3
"""Fetches pages with requests, which knows nothing of ustcp and is put on it; names are resolved by the host.

    requests_get.py URL...

The environment says what stack it is: USTCP_PCAP=pages.pcapng leaves a capture of it.
"""

from __future__ import annotations

import sys

import ustcp

ustcp.patch()  # before requests is imported

import requests  # noqa: E402


def main(urls: list[str]) -> int:
    failed = 0
    with requests.Session() as session:
        for url in urls:
            try:
                answer = session.get(url, timeout=20)
            except requests.RequestException as error:
                print(f"{url}: {error}", file=sys.stderr)
                failed += 1
                continue
            print(f"{answer.status_code} {len(answer.content)} bytes in {answer.elapsed.total_seconds() * 1000:.1f} ms: {url}")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
