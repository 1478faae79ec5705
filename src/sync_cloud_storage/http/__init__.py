"""Requests in, responses out, over libcurl: the one pump that all traffic of the product goes through.

`messages.py` says what can be asked for, `pump.py` drives it, `retry.py` is the table from an answer to what is done
about it. The doors (`azure.py`, `s3.py`) write requests and read responses; nothing above floor 1 knows HTTP. pycurl is
imported in this folder only.
"""
