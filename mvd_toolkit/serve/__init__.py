"""`mvd serve`: upscaling over HTTP, in a browser or by `curl`.

Three parts, each distrusting the next one's input:

    app      answers HTTP: who may ask (`guards`), how much, how many at once
    pool     the workers: hands each one job at a time, ends those that take too long
    worker   a process of limited memory that reads the file, upscales it and writes the result

What a client sends is parsed in a worker alone. A worker talks to the service in lines of JSON and
can be killed at any moment: the file it worked on is the only thing that is lost.
"""

from __future__ import annotations
