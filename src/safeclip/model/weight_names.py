"""What open_clip and transformers' CLIPModel call the weights of a CLIP whose towers are both transformers.

    most weights                            one name each
    the two projections                     one name each; transposed there
    queries, keys and values of a block     one weight here, a third of its rows each there

What must stay true: what `export` writes, `from_transformers` reads: both go by these names alone.
"""

from __future__ import annotations

TRANSPOSED = frozenset({"text_projection", "visual.proj"})
"""Weights, by open_clip's name, that lie the other way round in CLIPModel."""
_ALONE = {
    "logit_scale": "logit_scale",
    "text_projection": "text_projection.weight",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
}
_NORMS = {
    "ln_final": "text_model.final_layer_norm",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
}
_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def counterparts(text_layers: int, vision_layers: int) -> dict[str, tuple[str, ...]]:
    """open_clip's name of each weight -> CLIPModel's: one, or those of queries, keys and values.

    >>> counterparts(1, 1)["transformer.resblocks.0.mlp.c_fc.bias"]
    ('text_model.encoder.layers.0.mlp.fc1.bias',)
    """
    names: dict[str, tuple[str, ...]] = {ours: (theirs,) for ours, theirs in _ALONE.items()}
    towers = (("transformer", "text_model", text_layers), ("visual.transformer", "vision_model", vision_layers))
    for kind in ("weight", "bias"):
        names |= {f"{ours}.{kind}": (f"{theirs}.{kind}",) for ours, theirs in _NORMS.items()}
        for here, there, layers in towers:
            for layer in range(layers):
                ours, theirs = f"{here}.resblocks.{layer}", f"{there}.encoder.layers.{layer}"
                names[f"{ours}.attn.in_proj_{kind}"] = tuple(f"{theirs}.self_attn.{p}_proj.{kind}" for p in "qkv")
                names |= {f"{ours}.{part}.{kind}": (f"{theirs}.{name}.{kind}",) for part, name in _BLOCK.items()}
    return names
