"""Small models of Hugging Face, each with one example input and one output."""

from typing import Any

import torch
import transformers
from torch import nn

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
WORDS = {"vocab_size": 100}
PATCHES = {"image_size": 32, "patch_size": 8}


class First(nn.Module):
    """Of what a model makes the first."""

    def __init__(self, model: nn.Module, **said: Any) -> None:
        super().__init__()
        self.model, self.said = model, said

    def forward(self, x: Any) -> Any:
        return self.model(x, **self.said)[0]


def made(name: str) -> tuple[nn.Module, Any]:
    """A module in eval mode with random weights, and an example."""
    torch.manual_seed(0)
    module = _module(name).eval()
    images = name in ("swin", "vit")
    return module, torch.randn(1, 3, 32, 32) if images else torch.randint(3, 99, (1, 8))


def _module(name: str) -> nn.Module:
    said: dict[str, Any] = {}
    match name:
        case "bert":
            model = transformers.BertModel(transformers.BertConfig(**SMALL, **WORDS))
        case "roberta":
            config = transformers.RobertaConfig(**SMALL, **WORDS, pad_token_id=1)
            model = transformers.RobertaModel(config)
        case "gpt2":
            config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **WORDS)
            model, said = transformers.GPT2LMHeadModel(config), {"use_cache": False}
        case "llama":
            config = transformers.LlamaConfig(**SMALL, **WORDS, num_key_value_heads=2)
            model, said = transformers.LlamaForCausalLM(config), {"use_cache": False}
        case "vit":
            model = transformers.ViTModel(transformers.ViTConfig(**SMALL, **PATCHES))
        case "swin":
            config = transformers.SwinConfig(
                image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
                window_size=4,
            )  # fmt: skip
            model = transformers.SwinModel(config)
        case _:
            raise AssertionError(name)
    return First(model, **said)
