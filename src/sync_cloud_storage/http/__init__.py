"""Requests in, responses out, over libcurl: the one pump that all traffic of the product goes through.

The doors (`azure/`, `s3/`) write requests and read responses; what stands above them speaks of stories, not of HTTP.
pycurl is imported in this folder only.

    messages.py   what a story may ask for, and what it gets
    pump.py       drives many stories in one thread
    aside.py      what is done elsewhere meanwhile: in threads, or for many stories in one call
    transfer.py   one request on one libcurl handle
    lanes.py      how many requests at once, and how fast
    retry.py      the table from an answer to what is done about it, and the loop that does it
"""
