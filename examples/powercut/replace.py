"""Replacing a file: write a new one, make it durable, give it the old one's name, make that durable.

    uberblock lab powercut examples/powercut/replace.py
"""


def setup(fs):
    fs.write_bytes("/settings", content(0))


def run(fs, acknowledge, acknowledged):
    first = max(acknowledged, default=0) + 1
    for version in range(first, first + 29):
        fs.write_bytes("/settings.new", content(version))
        fs.fsync("/settings.new")
        fs.rename("/settings.new", "/settings")
        fs.fsync("/")
        acknowledge(version)


def check(fs, acknowledged):
    data = fs.read_bytes("/settings")
    version = int(data.split(b"\n", 1)[0])
    assert data == content(version), f"half of version {version}"
    assert version >= max(acknowledged, default=0), f"version {version}, but {acknowledged[-1]} was promised"


def content(version):
    return b"%d\n" % version + bytes([version & 255]) * (100 + version % 30 * 700)
