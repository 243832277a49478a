"""CLIPModel of the transformers library, plainly, from a directory's own files: config.json, and the names in
model.safetensors. So that what is exported is tested where the library is not installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


class SlowClipModel:
    def __init__(self, folder: Path):
        self.config, self.w = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def layers(self, tower, x, causal):
        about = self.config[f"{tower}_config"]
        act = {"gelu": F.gelu, "quick_gelu": lambda h: h * torch.sigmoid(1.702 * h)}[about["hidden_act"]]
        heads = about["num_attention_heads"]
        for n in range(about["num_hidden_layers"]):
            at = f"{tower}_model.encoder.layers.{n}"
            h = self.norm(f"{at}.layer_norm1", x)
            q, k, v = (
                self.linear(f"{at}.self_attn.{p}_proj", h).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv"
            )
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            if causal:
                scores = scores + torch.full(scores.shape[-2:], -torch.inf).triu(1)
            x = x + self.linear(f"{at}.self_attn.out_proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            h = self.norm(f"{at}.layer_norm2", x)
            x = x + self.linear(f"{at}.mlp.fc2", act(self.linear(f"{at}.mlp.fc1", h)))
        return x

    def image(self, pixels):
        at, size = "vision_model.embeddings", self.config["vision_config"]["patch_size"]
        patches = F.conv2d(pixels, self.w[f"{at}.patch_embedding.weight"], stride=size).flatten(2).transpose(1, 2)
        x = torch.cat([self.w[f"{at}.class_embedding"].expand(len(pixels), 1, -1), patches], 1)
        x = self.norm("vision_model.pre_layrnorm", x + self.w[f"{at}.position_embedding.weight"])
        return self.linear(
            "visual_projection", self.norm("vision_model.post_layernorm", self.layers("vision", x, False)[:, 0])
        )

    def text(self, tokens):
        at = "text_model.embeddings"
        x = (
            self.w[f"{at}.token_embedding.weight"][tokens]
            + self.w[f"{at}.position_embedding.weight"][: tokens.shape[1]]
        )
        x = self.norm("text_model.final_layer_norm", self.layers("text", x, True))
        end = (tokens == self.config["text_config"]["eos_token_id"]).int().argmax(1)
        return self.linear("text_projection", x[torch.arange(len(x)), end])
