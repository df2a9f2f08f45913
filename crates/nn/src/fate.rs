//! What became of the nodes of a file.

use std::fmt;

use crate::dtype::DType;

/// What became of one node of a file. A value; thread-safe. Steps and nodes are named by their
/// place in [`PlanInfo::steps`](crate::PlanInfo::steps) and
/// [`PlanInfo::nodes`](crate::PlanInfo::nodes).
///
/// ```
/// use anabranch_nn::{Dim, Fate, FusedPart, Limits, ModelBuilder};
/// let mut model = ModelBuilder::new("layer", 1);
/// let x = model.input("x", &[Dim::Any, Dim::Known(8)]);
/// let y = model.linear(x, 8, 4);
/// model.output("y", y);
/// let plan = model.build()?.describe(&[vec![2, 8]], &Limits::default())?;
/// assert_eq!(plan.nodes[0].fate, Fate::Computed { steps: vec![0] });
/// assert_eq!(plan.nodes[1].fate, Fate::Fused { step: 0, part: FusedPart::Bias });
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Steps compute it.
    Computed {
        /// In order; at least one.
        steps: Vec<usize>,
    },
    /// A step that computes another node does its work as well.
    Fused {
        /// The step.
        step: usize,
        /// As what.
        part: FusedPart,
    },
    /// It became part of another node when the model was loaded.
    Merged {
        /// The other node.
        into: usize,
        /// By which rule.
        rule: MergeRule,
    },
    /// Its results are constants.
    Folded(Folding),
    /// Its results are other views of the memory of its input: no work.
    View,
    /// It copies its input, and who uses the copy uses the original.
    SeenThrough,
    /// The nodes of its body take its place.
    Replaced,
    /// It is part of a body that never runs.
    NeverRuns,
    /// Its results have no elements.
    Empty,
    /// No output needs it.
    Unneeded,
}

/// As what a step does the work of another node. A value; thread-safe; see [`Fate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedPart {
    /// A constant factor of a product, before or behind it.
    Factor,
    /// A constant that is added to every channel or column.
    Bias,
    /// A tensor that is added.
    Residual,
    /// A function of each element of the result.
    Activation,
    /// The mean of each channel of the result.
    Mean,
    /// The order of the axes in which the result is written.
    Layout,
}

/// By which rule a node became part of another one. A value; thread-safe; see [`Fate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// A batch normalisation is part of weight and bias of the convolution in front of it.
    Normalization,
    /// Several nodes spell out one activation.
    Activation,
}

/// When a result became a constant. A value; thread-safe; see [`Fate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// When the model was loaded.
    AtLoad,
    /// When shapes, and the inputs that decide about shapes, were known.
    ForShapes,
}

/// Why a step is what it is. A value; thread-safe. See [`StepInfo::why`](crate::StepInfo::why).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The device has a kernel for the node.
    Kernel,
    /// The device has none that fits: plain code on one core.
    Routine(Misfit),
    /// A kernel needs an operand in row-major order.
    Order,
    /// One part of a result that is put together from parts.
    Part,
    /// An output of the model that is something else as well.
    Output,
}

/// Why no kernel of the device fits a node. A value; thread-safe. See [`Reason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// There is none for the operator.
    Operator(String),
    /// The kernel takes another element type.
    ElementType {
        /// The input.
        input: usize,
        /// Its type.
        dtype: DType,
    },
    /// The kernel is for images of one or two axes.
    ImageAxes(usize),
    /// The kernel wants to know an input before the model runs.
    Computed {
        /// The input.
        input: usize,
    },
    /// The result is of a type whose elements share bytes.
    NarrowResult(DType),
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Fate>();
    assert_send_sync::<FusedPart>();
    assert_send_sync::<MergeRule>();
    assert_send_sync::<Folding>();
    assert_send_sync::<Reason>();
    assert_send_sync::<Misfit>();
};

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Computed { steps } => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                let noun = if steps.len() == 1 { "step" } else { "steps" };
                write!(f, "computed by {noun} {}", steps.join(", "))
            }
            Self::Fused { step, part } => write!(f, "fused into step {step} as {part}"),
            Self::Merged { into, rule } => write!(f, "merged into node {into} at load: {rule}"),
            Self::Folded(Folding::AtLoad) => f.write_str("folded to a constant at load"),
            Self::Folded(Folding::ForShapes) => {
                f.write_str("folded to a constant for these shapes")
            }
            Self::View => f.write_str("only a view of its input"),
            Self::SeenThrough => f.write_str("a copy that its users see through"),
            Self::Replaced => f.write_str("replaced by the nodes of its body"),
            Self::NeverRuns => f.write_str("part of a body that never runs"),
            Self::Empty => f.write_str("has no elements to compute"),
            Self::Unneeded => f.write_str("needed by nobody"),
        }
    }
}

impl fmt::Display for FusedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Factor => "constant factor",
            Self::Bias => "bias",
            Self::Residual => "residual",
            Self::Activation => "activation",
            Self::Mean => "mean of each channel",
            Self::Layout => "layout of the result",
        })
    }
}

impl fmt::Display for MergeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normalization => "batch normalisation in weight and bias",
            Self::Activation => "part of a spelled-out activation",
        })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(operator) => {
                write!(f, "no kernel computes {}", operator.escape_debug())
            }
            Self::ElementType { input, dtype } => {
                write!(f, "the kernel is for other element types: input {input} is {dtype}")
            }
            Self::ImageAxes(axes) => {
                write!(f, "the kernel is for images of one or two axes, and these have {axes}")
            }
            Self::Computed { input } => {
                write!(f, "the kernel takes input {input} as a constant, and it is computed")
            }
            Self::NarrowResult(dtype) => write!(f, "elements of {dtype} share bytes"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("the device has a kernel for it"),
            Self::Routine(misfit) => write!(f, "{misfit}: plain code on one core"),
            Self::Order => f.write_str("a kernel needs this operand in row-major order"),
            Self::Part => f.write_str("one part of a result that is put together"),
            Self::Output => f.write_str("an output that is something else as well"),
        }
    }
}
