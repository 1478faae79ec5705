"""What starts the servers that tests, the demo and the benchmarks talk to. Nothing here knows pytest or the product.

    process.py   a server as a child: free port, own process group, waits until it answers, ends with its parent
    install.py   Azurite from npm, into `.tools/azurite`
    azurite.py   Microsoft's Azure Blob emulator
    moto.py      an S3 imitation with a request log: lax, but everybody's
    rclone.py    `rclone serve s3`, which checks signatures; and `rclone check`, the judge of a journey
    nginx.py     a fast imitation of both clouds, for benchmarks only
    strict/      our own strict little cloud, with scripted faults
    fill.py      puts blobs into Azurite, those with hostile names too
    clients.py   the official clients, set up for a server here
    endpoints.py where a server is and what it takes as credentials
    judge.py     compares Azure with S3 byte by byte and shares no code with the product

Every starter is a context manager: `with azurite.running(folder) as az: ...`. All listen on loopback only.
"""
