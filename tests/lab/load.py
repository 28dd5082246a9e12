#!/usr/bin/env python3
"""load.py URL SECONDS THREADS: requests, each on a new connection, until the time is over; prints what came of them."""

import collections
import http.client
import json
import sys
import threading
import time
import urllib.parse

# With no pause the client soon runs through its ports and a new connection meets an old one's entry, which IPVS sends
# on to the old one's server: right, but not what tests that count want to see.
PAUSE_S = 0.01


def one_request(url, timeout):
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=timeout)
    try:
        connection.request("GET", url.path or "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode().strip()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return text
    finally:
        connection.close()


def main(url, seconds, threads):
    url, end = urllib.parse.urlsplit(url), time.monotonic() + float(seconds)
    answers, errors, lock = collections.Counter(), collections.Counter(), threading.Lock()

    def work():
        while time.monotonic() < end:
            try:
                name, kind = one_request(url, timeout=10), answers
            except (OSError, http.client.HTTPException) as error:
                name, kind = repr(error), errors
                time.sleep(0.05)
            with lock:
                kind[name] += 1
            time.sleep(PAUSE_S)

    workers = [threading.Thread(target=work) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    json.dump({"done": answers.total(), "failed": errors.total(), "answers": answers, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
