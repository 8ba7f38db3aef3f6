"""The same with a step left out: nothing makes the change durable before somebody is told.

    uberblock lab powercut examples/powercut/replace_without_fsync.py       # finds it
    uberblock lab powercut --sync always examples/powercut/replace_without_fsync.py

It begins anew each time, so it is nothing for "lab kill".
"""

from replace import check, content, setup

__all__ = ["check", "run", "setup"]


def run(fs, acknowledge):
    for version in range(1, 30):
        fs.write_bytes("/settings.new", content(version))
        fs.rename("/settings.new", "/settings")
        acknowledge(version)
