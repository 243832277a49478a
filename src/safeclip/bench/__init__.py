"""The bench: attacks x methods x seeds on one data set -> one table (`safeclip bench`; docs/bench.md).

    spec.py presets.py   what is measured
    grid.py              the runs that this takes, in order, each with an id
    runner.py            which of them are left, and doing them
    measure.py           one of them: plant, train, evaluate -> a record
    records.py           finished runs on disk, and the results file that is committed
    cost.py              what the rest will take
    table.py wording.py  pooled over seeds, and in words
    summary.py page.py   DIR/summary.json, table.md, report.html

What must stay true: a defence's number counts only beside plain CLIP of the same attack and seed, and only where the
attack planted there.
"""
