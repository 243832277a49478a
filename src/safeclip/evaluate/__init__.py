"""Evaluation: what a model is good for (zero-shot, retrieval, linear probe), and what an attack made of it.

source.py             all of it, on the pairs of one source -> metrics.json
read_pairs.py         pairs -> embeddings
zero_shot.py  retrieval.py  probe.py  attack_success.py       one measure each
detection.py          of a run's scores
run.py                a trained run, or any other model, on a split of a data set
lines.py              metrics.json in words
"""
