"""Money that moves between accounts, kept whole by a rollback journal, as SQLite's is, or by a transaction of the pool.

    uberblock lab powercut examples/powercut/accounts.py --recordsize 4K

It begins anew each time, so it is nothing for "lab kill".
"""

import random

ACCOUNTS, EACH = 64, 1000


def setup(fs):
    fs.write_bytes("/accounts", b"".join(cell(EACH) for _ in range(ACCOUNTS)))


def run(fs, acknowledge):
    chance = random.Random(7)
    for number in range(40):
        one, other, amount = chance.randrange(ACCOUNTS), chance.randrange(ACCOUNTS), chance.randrange(100)
        if number % 4 == 3:
            with fs.transaction():  # both cells or none: nothing else is needed
                move(fs, one, other, amount)
            fs.fsync("/accounts")
        else:
            fs.write_bytes("/journal", fs.read_bytes("/accounts"))  # what was there before
            fs.fsync("/journal")
            fs.rename("/journal", "/rollback")
            fs.fsync("/")
            move(fs, one, other, amount)
            fs.fsync("/accounts")
            fs.unlink("/rollback")
            fs.fsync("/")
        acknowledge((one, other, amount))


def move(fs, one, other, amount):
    with fs.open("/accounts", "rb+") as file:
        for account, change in ((one, -amount), (other, amount)):
            cells = bytearray(16)
            file.pread(cells, account * 16)
            file.pwrite(cell(int(cells) + change), account * 16)


def check(fs, acknowledged):
    data = fs.read_bytes("/rollback" if fs.exists("/rollback") else "/accounts")
    cells = [int(data[at : at + 16]) for at in range(0, len(data), 16)]
    assert sum(cells) == ACCOUNTS * EACH, f"{sum(cells)} in all, not {ACCOUNTS * EACH}"
    expected = [EACH] * ACCOUNTS
    states = [list(expected)]
    chance = random.Random(7)
    for _ in range(40):
        one, other, amount = chance.randrange(ACCOUNTS), chance.randrange(ACCOUNTS), chance.randrange(100)
        expected[one] -= amount
        expected[other] += amount
        states.append(list(expected))
    assert cells in states[len(acknowledged) : len(acknowledged) + 2], "neither the last promise nor the next"


def cell(amount):
    return b"%15d\n" % amount
