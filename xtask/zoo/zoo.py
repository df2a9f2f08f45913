"""Exports networks to ONNX, runs them on ONNX Runtime, and compares results with that.

    zoo.py list
    zoo.py export NETWORK EXPORTER FOLDER
    zoo.py rows FOLDER
    zoo.py compare FOLDER

A network has random weights from a fixed seed, and statistics of batch normalisation that are not
those of a new layer. It returns what comes before its last softmax, and what comes after it.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torchvision.models as vision
from torch import nn

SEED = 20261121
# The fused layer of PyTorch's encoders is for PyTorch alone, and cannot be exported.
torch.backends.mha.set_fastpath_enabled(False)
TOLERANCE = 1e-4


class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.Tanh(), nn.Linear(128, 10)
        )


class Encoder(nn.Module):
    """Token and position embeddings, then transformer layers, as BERT has them."""

    def __init__(self, before, activation):
        super().__init__()
        self.tokens = nn.Embedding(1000, 128)
        self.positions = nn.Embedding(64, 128)
        self.norm = nn.LayerNorm(128)
        layer = nn.TransformerEncoderLayer(
            128, 4, 512, dropout=0.0, activation=activation, batch_first=True, norm_first=before
        )
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.pooler = nn.Linear(128, 128)
        self.head = nn.Linear(128, 16)

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.norm(self.tokens(tokens) + self.positions(positions))
        x = self.layers(x)
        return self.head(torch.tanh(self.pooler(x[:, 0])))


class Attention(nn.Module):
    """Self-attention with a mask for padding, written out as BERT's authors do."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask):
        batch, length, width = x.shape
        split = lambda y: y.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        scores = scores + (1.0 - mask[:, None, None, :]) * -10000.0
        context = torch.softmax(scores, -1) @ value
        return self.out(context.transpose(1, 2).reshape(batch, length, width))


class Bert(nn.Module):
    def __init__(self, width=128, layers=3):
        super().__init__()
        self.tokens = nn.Embedding(1000, width, padding_idx=0)
        self.positions = nn.Embedding(64, width)
        self.kinds = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    Attention(width, 4),
                    nn.LayerNorm(width, eps=1e-12),
                    nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
                    nn.LayerNorm(width, eps=1e-12),
                ]
            )
            for _ in range(layers)
        )
        self.head = nn.Linear(width, 8)

    def forward(self, tokens):
        mask = (tokens != 0).to(torch.float32)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(positions) + self.kinds(torch.zeros_like(tokens))
        x = self.norm(x)
        for attention, first, feed, second in self.blocks:
            x = first(x + attention(x, mask))
            x = second(x + feed(x))
        return self.head(x.mean(1))


class UNet(nn.Module):
    def __init__(self, width=16, upsample=True):
        super().__init__()
        self.upsample = upsample
        double = lambda a, b: nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
            nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
        )
        self.down = nn.ModuleList([double(3, width), double(width, 2 * width), double(2 * width, 4 * width)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)])
        self.narrow = nn.ModuleList([nn.Conv2d(4 * width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)])
        self.join = nn.ModuleList([double(4 * width, 2 * width), double(2 * width, width)])
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x):
        kept = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for index, block in enumerate(self.join):
            if self.upsample:
                wide = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
                x = self.narrow[index](wide)
            else:
                x = self.up[index](x)
            x = block(torch.cat([kept.pop(), x], 1))
        return self.head(x)


class Segmentation(nn.Module):
    """The result that counts of a segmentation network of torchvision."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)["out"]


def small_vit():
    return vision.VisionTransformer(
        image_size=64, patch_size=8, num_layers=4, num_heads=4, hidden_dim=128, mlp_dim=256, num_classes=100
    )


IMAGE = ("image", (1, 3, 64, 64))
LARGE = ("image", (1, 3, 224, 224))
TOKENS = ("tokens", (2, 24))

NETWORKS = {
    "mlp": (Mlp, ("image", (3, 1, 28, 28))),
    "resnet18": (vision.resnet18, LARGE),
    "resnet50": (vision.resnet50, LARGE),
    "resnext50": (vision.resnext50_32x4d, IMAGE),
    "mobilenet_v2": (vision.mobilenet_v2, LARGE),
    "mobilenet_v3_small": (vision.mobilenet_v3_small, LARGE),
    "mobilenet_v3_large": (vision.mobilenet_v3_large, IMAGE),
    "mnasnet": (vision.mnasnet0_5, IMAGE),
    "efficientnet_b0": (vision.efficientnet_b0, LARGE),
    "efficientnet_v2_s": (vision.efficientnet_v2_s, IMAGE),
    "squeezenet": (vision.squeezenet1_1, LARGE),
    "vgg11": (vision.vgg11, LARGE),
    "vgg13_bn": (vision.vgg13_bn, LARGE),
    "alexnet": (vision.alexnet, LARGE),
    "densenet121": (vision.densenet121, LARGE),
    "shufflenet_v2": (vision.shufflenet_v2_x1_0, LARGE),
    "googlenet": (lambda: vision.googlenet(aux_logits=False, init_weights=True), LARGE),
    "inception_v3": (lambda: vision.inception_v3(aux_logits=False, init_weights=True), ("image", (1, 3, 160, 160))),
    "regnet_y_400mf": (vision.regnet_y_400mf, IMAGE),
    "convnext_tiny": (vision.convnext_tiny, LARGE),
    "swin_t": (vision.swin_t, LARGE),
    "vit_small": (small_vit, IMAGE),
    "vit_b_16": (vision.vit_b_16, LARGE),
    "bert": (Bert, TOKENS),
    "encoder_post_norm": (lambda: Encoder(False, "relu"), TOKENS),
    "encoder_pre_norm": (lambda: Encoder(True, "gelu"), TOKENS),
    "unet_resize": (lambda: UNet(upsample=True), IMAGE),
    "unet_transpose": (lambda: UNet(upsample=False), IMAGE),
    "fcn_resnet50": (lambda: Segmentation(vision.segmentation.fcn_resnet50(weights=None, weights_backbone=None)), IMAGE),
    "deeplab_mobilenet": (
        lambda: Segmentation(
            vision.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)
        ),
        IMAGE,
    ),
}


class Both(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        return logits, torch.softmax(logits, 1)


def build(name):
    torch.manual_seed(SEED)
    network = NETWORKS[name][0]().eval()
    generator = torch.Generator().manual_seed(SEED + 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for parameter in network.parameters():
        # Some heads begin with zeros, which say nothing about what is in front of them.
        if parameter.dim() > 1 and not parameter.any():
            parameter.data.normal_(0.0, 0.05, generator=generator)
    return Both(network).eval()


def example(name):
    kind, shape = NETWORKS[name][1]
    generator = torch.Generator().manual_seed(SEED + 2)
    if kind == "image":
        return torch.randn(shape, generator=generator)
    tokens = torch.randint(1, 1000, shape, generator=generator)
    tokens[-1, shape[1] // 2 :] = 0
    return tokens


def export(name, exporter, folder):
    import onnxruntime

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    network, x = build(name), example(name)
    names = dict(input_names=["x"], output_names=["before", "after"])
    with torch.no_grad():
        if exporter == "dynamo":
            torch.onnx.export(network, (x,), path, dynamo=True, **names)
        else:
            torch.onnx.export(network, (x,), path, dynamo=False, opset_version=17, **names)
        np.save(folder / "x.npy", x.numpy())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for output, result in zip(("before", "after"), session.run(None, {"x": x.numpy()})):
        np.save(folder / f"{output}.npy", result)
    (folder / "complete").touch()


def compare(folder):
    errors = []
    for output in ("before", "after"):
        expected = np.load(folder / f"{output}.npy").astype(np.float64)
        found = np.load(folder / f"{output}-found.npy").astype(np.float64)
        if expected.shape != found.shape:
            sys.exit(f"{output} has the shape {found.shape}, not {expected.shape}")
        if not np.isfinite(expected).all():
            sys.exit(f"{output} of ONNX Runtime is not finite")
        errors.append(float(np.abs(found - expected).max() / np.abs(expected).max()))
    text = " ".join(f"{error:10.1e}" for error in errors)
    # An error that is not a number is too large as well.
    if not all(error <= TOLERANCE for error in errors):
        sys.exit(f"relative errors above {TOLERANCE:g}:{text}")
    print(text)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["list"]:
            print("\n".join(NETWORKS))
        case ["export", name, exporter, folder]:
            export(name, exporter, pathlib.Path(folder))
        case ["rows", folder]:
            print(np.load(pathlib.Path(folder) / "x.npy", mmap_mode="r").shape[0])
        case ["compare", folder]:
            compare(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)
