"""Floor 4: objects. Object sets, dnodes and their block trees, ZAPs, lists of block pointers, tables."""
