"""Send requests, stamp what comes back, from several worker processes.

Imports the ground floor and aiohttp. Never a metric: answers are parsed later, by another process.
"""
