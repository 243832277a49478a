"""SafeCLIP's parts in a plain PyTorch loop with towers of your own: both losses, the pools, the mixture, the split.

    python examples/loss_in_your_own_loop.py

Emoji with captions, one caption in ten swapped with another pair's. Warm up unimodally, align for an epoch, then give
the CLIP loss only to the pairs that fit best. How many swapped captions are among these in the end?
"""

import zlib

import torch
from torch import nn
from torch.nn.functional import normalize

from safeclip import Pool, clip_loss, first_share, fit_mixture, safest, share_at, unimodal_loss
from safeclip.data.sources import open_source

VOCABULARY, WORDS, DIM, SCALE = 4096, 8, 64, 20.0


def main(pairs=4000, epochs=12):
    torch.manual_seed(0)
    images, words = read(pairs)
    swapped = torch.rand(pairs) < 0.1
    words[swapped] = words[swapped].roll(1, 0)
    image_tower = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 512), nn.ReLU(), nn.Linear(512, DIM))
    text_tower = nn.Sequential(nn.EmbeddingBag(VOCABULARY, DIM, padding_idx=0), nn.Linear(DIM, DIM))
    optimizer = torch.optim.AdamW([*image_tower.parameters(), *text_tower.parameters()])
    pools = Pool(pairs // 50, DIM), Pool(pairs // 50, DIM)  # 2 % of the data, for each modality
    safe, share = torch.zeros(pairs, dtype=torch.bool), 0.0

    def embed(images, words):
        return normalize(image_tower(images)), normalize(text_tower(words))

    def augmented(uids):  # pictures shifted, with some noise; captions with one word in ten left out
        shifted = images[uids].roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
        return embed(shifted + 0.1 * torch.randn_like(shifted), words[uids] * (torch.rand(len(uids), WORDS) > 0.1))

    def unimodal(uids):
        losses = []
        for pool, view1, view2 in zip(pools, augmented(uids), augmented(uids), strict=True):
            losses.append(unimodal_loss(view2, pool.nearest(view1), SCALE))
            pool.enqueue(view1)  # after the look-up, or each embedding finds itself
        return sum(losses) / 2

    for epoch in range(epochs):
        phase = "warm-up" if epoch < 3 else "align" if epoch == 3 else "defended"
        optimizer.param_groups[0]["lr"] = 5e-4 if phase == "align" else 2e-3  # rate x steps = 1e-2
        if phase == "defended":
            with torch.no_grad():
                cosine = torch.mul(*embed(images, words)).sum(1).numpy()
            if not share:  # the pairs of which the mixture is almost sure that they belong to its upper component
                share, _, _ = first_share(fit_mixture(cosine), cosine, posterior=0.9, share_min=0.2, share_max=0.5)
            safe = torch.from_numpy(safest(-cosine, share_at(epoch - 4, share, growth=0.05, cap=0.8)))
        for uids in torch.randperm(pairs).split(200):
            if phase == "defended":
                loss = clip_loss(*augmented(uids[safe[uids]]), SCALE) + unimodal(uids[~safe[uids]])
            else:
                loss = unimodal(uids) if phase == "warm-up" else clip_loss(*augmented(uids), SCALE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {phase}, {int(safe.sum())} of {pairs} pairs safe")
    among = swapped[safe].float().mean()
    print(f"swapped captions: {swapped.float().mean():.1%} of all pairs, {among:.1%} of the safe ones")
    return among


def read(count):
    """Pictures (N, 3, 20, 20) in -1..1, and captions as hashed words (N, WORDS), 0 where there is none."""
    source = open_source("emoji:concepts=20")
    images = torch.stack([torch.from_numpy(source[uid].image[::2, ::2]).permute(2, 0, 1) for uid in range(count)])
    texts = [source.captions(uid)[0].lower().encode().split() for uid in range(count)]
    words = [([1 + zlib.crc32(word) % (VOCABULARY - 1) for word in text] + [0] * WORDS)[:WORDS] for text in texts]
    return images.float() / 127.5 - 1, torch.tensor(words)


if __name__ == "__main__":
    main()
