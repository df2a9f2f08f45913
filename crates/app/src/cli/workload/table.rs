//! Every network, in the order of reports.

use super::{Input, Workload, images, operators, sequences};

/// The two networks that stress rounds began with come first.
pub(super) const FOUNDING: usize = 2;

pub(super) const ALL: &[Workload] = &[
    Workload {
        name: "conv-bn",
        title: "Conv+BN",
        layers: "Conv2d 3→64, BN, ReLU, Conv2d 64→128, BN, ReLU, AdaptiveAvgPool2d, Linear \
                 128→10",
        shape: &[4, 3, 32, 32],
        input: Input::Floats,
        ops: 100,
        build: images::conv_bn,
    },
    Workload {
        name: "instance-norm",
        title: "InstanceNorm+BatchNorm",
        layers: "Conv2d 3→32, InstanceNorm2d affine, ReLU, Conv2d 32→64, BatchNorm2d, ReLU, \
                 AdaptiveAvgPool2d, Linear 64→10",
        shape: &[4, 3, 32, 32],
        input: Input::Floats,
        ops: 120,
        build: images::instance_norm,
    },
    Workload {
        name: "residual",
        title: "Residual",
        layers: "Conv2d 3→32, BN, ReLU, 2 × (Conv2d 32→32, BN, ReLU, Conv2d 32→32, BN, add, \
                 ReLU), MaxPool2d, AdaptiveAvgPool2d, Linear 32→10",
        shape: &[2, 3, 32, 32],
        input: Input::Floats,
        ops: 120,
        build: images::residual,
    },
    Workload {
        name: "mlp",
        title: "MLP",
        layers: "Linear 512→1024, ReLU, Linear 1024→1024, ReLU, Linear 1024→512",
        shape: &[8, 512],
        input: Input::Floats,
        ops: 120,
        build: sequences::mlp,
    },
    Workload {
        name: "encoder",
        title: "Encoder",
        layers: "LayerNorm, attention with 4 heads, add, LayerNorm, Linear 64→256, GELU, \
                 Linear 256→64, add",
        shape: &[2, 32, 64],
        input: Input::Floats,
        ops: 120,
        build: sequences::encoder,
    },
    Workload {
        name: "layer-norm",
        title: "LayerNorm",
        layers: "LayerNorm 128, Linear 128→96, LayerNorm 96, ReLU, Linear 96→32",
        shape: &[8, 12, 128],
        input: Input::Floats,
        ops: 120,
        build: sequences::layer_norm,
    },
    Workload {
        name: "linear",
        title: "Linear",
        layers: "Linear 256→384, Linear 384→10",
        shape: &[16, 256],
        input: Input::Floats,
        ops: 120,
        build: sequences::linear,
    },
    Workload {
        name: "mixed",
        title: "MatMul+Reduce+Element-wise",
        layers: "MatMul 48→40, minus the mean, over the length, Tanh, product with itself, \
                 times the largest, sum",
        shape: &[4, 32, 48],
        input: Input::Floats,
        ops: 120,
        build: operators::mixed,
    },
    Workload {
        name: "transformer",
        title: "Transformer",
        layers: "places, 2 × (LayerNorm, attention with 4 heads, add, LayerNorm, Linear \
                 64→256, GELU, Linear 256→64, add), LayerNorm, Linear 64→100",
        shape: &[2, 16, 64],
        input: Input::Floats,
        ops: 120,
        build: sequences::transformer,
    },
    Workload {
        name: "embedding",
        title: "Embedding+Softmax",
        layers: "Embedding 500×64, Linear 64→50, Softmax",
        shape: &[4, 24],
        input: Input::Tokens(sequences::TOKENS),
        ops: 120,
        build: sequences::embedding,
    },
    Workload {
        name: "pooling",
        title: "Pooling",
        layers: "Conv2d 3→16, MaxPool2d with places, MaxUnpool2d, Fold, RoIAlign, MaxPool2d and \
                 AvgPool2d joined, AdaptiveAvgPool2d, global mean and maximum joined, Linear \
                 640→10",
        shape: &[2, 3, 20, 22],
        input: Input::Floats,
        ops: 120,
        build: images::pooling,
    },
    Workload {
        name: "depthwise",
        title: "Depthwise+GroupNorm",
        layers: "Conv2d 3→32, depthwise Conv2d 32, GroupNorm 8, ReLU, Conv2d 32→48, depthwise \
                 Conv2d 48 by 2, GroupNorm 6, ReLU, AdaptiveAvgPool2d, Linear 48→10",
        shape: &[2, 3, 24, 24],
        input: Input::Floats,
        ops: 120,
        build: images::depthwise,
    },
    Workload {
        name: "attention",
        title: "BatchedMatMul+Softmax",
        layers: "Linear 32→32 twice, batched MatMul, Softmax, batched MatMul",
        shape: &[4, 6, 24, 32],
        input: Input::Floats,
        ops: 120,
        build: sequences::attention,
    },
    Workload {
        name: "gather",
        title: "Gather+Scatter",
        layers: "Gather of rows, Gather from a table of 16×8 by data, mean, Gather of columns, \
                 ScatterElements into 6 rows by data",
        shape: &[4, 12, 10],
        input: Input::Floats,
        ops: 120,
        build: operators::gather,
    },
    Workload {
        name: "broadcast",
        title: "Broadcast",
        layers: "times channels, minus rows, over columns, mean, Expand, maximum, minimum",
        shape: &[4, 8, 16, 24],
        input: Input::Floats,
        ops: 120,
        build: operators::broadcast,
    },
    Workload {
        name: "resnet",
        title: "ResNet",
        layers: "Conv2d 3→16, BN, ReLU, blocks of 16, 32 by 2 and 64 by 2 channels, \
                 AdaptiveAvgPool2d, Linear 64→10",
        shape: &[2, 3, 24, 24],
        input: Input::Floats,
        ops: 120,
        build: images::resnet,
    },
    Workload {
        name: "mixed-precision",
        title: "Mixed precision",
        layers: "f16, Linear 96→128 with f16 weights, GELU, bf16, Linear 128→64 with bf16 \
                 weights, f16",
        shape: &[8, 96],
        input: Input::Floats,
        ops: 120,
        build: operators::mixed_precision,
    },
    Workload {
        name: "general",
        title: "General operators",
        layers: "Split, Sigmoid, HardSwish, Sin, Concat, Slice backwards, Pad, MatMul 24→20, \
                 Where, Exp, Neg, Clip, Transpose, Reshape",
        shape: &[4, 10, 20],
        input: Input::Floats,
        ops: 120,
        build: operators::general,
    },
    Workload {
        name: "types",
        title: "Doubles and integers",
        layers: "f64: samples at 25 places, determinants, the 3 largest, Fold, RoIAlign; i64 and \
                 i32: MatMul 8→5",
        shape: &[4, 2, 6, 8],
        input: Input::Floats,
        ops: 120,
        build: operators::types,
    },
];
