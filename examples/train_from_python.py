"""Train a defended model from Python, see how the split went, evaluate it, embed a caption, export it.

python examples/train_from_python.py --out runs/example     built-in pictures, some minutes on a CPU
python examples/train_from_python.py --out runs/mine --data csv:pairs.csv --preset small64
"""

from __future__ import annotations

import argparse

import torch

from safeclip import evaluate, load_run, train
from safeclip.config import override
from safeclip.model.export import export
from safeclip.presets import preset
from safeclip.report import write_report


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="run directory to write")
    parser.add_argument("--preset", default="emoji")
    parser.add_argument("--data", help="data spec (default: the preset's)")
    parser.add_argument("--epochs", type=int, help="passes over the data (default: the preset's)")
    parser.add_argument("--warmup", type=int, help="epochs of the warm-up (default: the preset's)")
    parser.add_argument("--batch", type=int, help="pairs a step (default: the preset's)")
    args = parser.parse_args(arguments)

    # A preset is a function that returns a whole config; any of its numbers can be changed by name.
    changes = {
        "data.spec": args.data,
        "epochs": args.epochs,
        "optim.batch_size": args.batch,
        "safeclip.warmup_epochs": args.warmup,
    }
    config = override(preset(args.preset), {name: value for name, value in changes.items() if value is not None})

    run = train(config, args.out)

    for line in run.splits():  # what split.jsonl holds, one line a defended epoch
        print(
            f"epoch {line['epoch']}: {line['safe_count']} pairs safe ({line['safe_share']:.0%}), cut {line['cut']:.3f}"
        )

    metrics = evaluate(run.path)
    if metrics["zero_shot"]:
        print(f"zero-shot top-1: {metrics['zero_shot']['top1']:.1%} of {metrics['zero_shot']['n']} test pictures")

    clip = load_run(run.path)  # net is open_clip's model, tokenize its tokenizer
    with torch.no_grad():
        caption = clip.net.encode_text(clip.tokenize(["a drawing of a hamburger"]), normalize=True)
    print(f"a caption's embedding: {tuple(caption.shape)}")

    print("written:", *export(clip, run.path / "exported", "safetensors"), write_report(run.path))


if __name__ == "__main__":
    main()
