//! Operators into kernels.
//!
//! A value lies in a storage and is seen through a view. Moving operators only change the view;
//! kernels that need their operands in order get a copy then, and only then.

mod elementwise;
mod integer;
mod matrix;
mod movement;
mod normalize;
mod order;
mod position;
mod quantize;
mod resample;
mod routine;
mod spatial;
mod weights;
mod window;

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Access, Kernel, OperandSpec, StridedCopy};
use anabranch_sync::Arc;

use super::fuse::{Epilogue, Fusion};
use super::infer::Known;
use super::{PackedBytes, Weight};
use crate::dtype::DType;
use crate::error::Error;
use crate::fate::{Misfit, Reason};
use crate::graph::{Graph, Node, ValueId};
use crate::host::PadMode;
use crate::ops::{Fact, Facts, Op};
use crate::shape::View;
use crate::tensor::Tensor;

pub(super) use routine::misfit;

/// What a storage is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Input(usize),
    Output(usize),
    Weight(usize),
    Constant(usize),
    Temporary,
}

/// A run of bytes.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) home: Home,
    pub(super) bytes: usize,
    /// What lies there, as far as people ask.
    pub(super) holds: Option<Held>,
}

/// A value of the graph, in the shape that it has there.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: ValueId,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

/// A range of a storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawOperand {
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

/// A step before memory is arranged. The last operands are those that are written.
#[derive(Clone, Debug)]
pub(super) struct RawStep {
    pub(super) operation: Operation,
    pub(super) operands: Vec<RawOperand>,
    /// The node that it is a step of; none for what copies an output.
    pub(super) node: Option<usize>,
    pub(super) why: Reason,
}

/// A whole graph, lowered.
#[derive(Debug, Default)]
pub(super) struct Lowered {
    pub(super) storages: Vec<Storage>,
    pub(super) steps: Vec<RawStep>,
    pub(super) weights: Vec<Weight>,
    pub(super) constants: Vec<Tensor>,
}

/// Where a value lies.
#[derive(Clone, Debug)]
struct Located {
    storage: usize,
    view: View,
}

/// The first byte of an operand.
#[derive(Clone, Copy, Debug)]
struct Spot {
    storage: usize,
    offset: usize,
}

struct Lowering<'a> {
    graph: &'a Graph,
    known: &'a Known,
    packed_bytes: PackedBytes<'a>,
    located: Vec<Option<Located>>,
    done: Lowered,
    /// The node that is being lowered.
    current: Option<usize>,
}

/// Lowers what [`Fusion`] left to compute.
pub(super) fn lower(
    graph: &Graph,
    known: &Known,
    fusion: &Fusion,
    packed_bytes: PackedBytes<'_>,
) -> Result<Lowered, Error> {
    let located = vec![None; graph.values.len()];
    let done = Lowered::default();
    let mut lowering = Lowering { graph, known, packed_bytes, located, done, current: None };
    for (index, (id, _)) in graph.inputs.iter().enumerate() {
        let fact = known.get(*id)?;
        let holds = Held { value: *id, dtype: fact.dtype, shape: fact.shape.clone() };
        let storage = lowering.add_storage(Home::Input(index), fact.bytes(), Some(holds));
        let view = View::contiguous(&fact.shape);
        lowering.located[id.0] = Some(Located { storage, view });
    }
    for (index, (node, epilogue)) in graph.nodes.iter().zip(&fusion.epilogues).enumerate() {
        lowering.current = Some(index);
        if let Some(epilogue) = epilogue {
            lowering.node(node, epilogue).map_err(|error| error.at_node(&node.label))?;
        }
    }
    lowering.current = None;
    for index in 0..graph.outputs.len() {
        lowering.output(index)?;
    }
    Ok(lowering.done)
}

impl Lowering<'_> {
    fn node(&mut self, node: &Node, epilogue: &Epilogue) -> Result<(), Error> {
        let inputs = self.known.inputs(node)?;
        if self.moved(node, &inputs)? {
            return Ok(());
        }
        if let Some(misfit) = misfit(node, &inputs) {
            return self.routine(node, misfit);
        }
        match &node.op {
            Op::Conv { window, groups } => self.conv(node, window, *groups, epilogue),
            Op::Pool { kind, window } => self.pool(node, *kind, window, epilogue.result),
            Op::GlobalPool { kind } => self.global_pool(node, *kind, epilogue.result),
            Op::AdaptiveAveragePool { size } => self.adaptive(node, *size, epilogue.result),
            Op::Normalize { norm, epsilon } => self.normalize(node, *norm, *epsilon, epilogue),
            Op::Unary(function) => self.unary(node, *function, epilogue.result),
            Op::Clip => self.clip(node, &inputs, epilogue.result),
            Op::Binary(function) => match integer::function(*function) {
                Some(function) if !inputs.get(0)?.dtype.is_float() => self.integer(node, function),
                _ => self.binary(node, *function, epilogue),
            },
            Op::MatMul { transpose_a, transpose_b, .. } => {
                self.matmul([*transpose_a, *transpose_b], epilogue)
            }
            Op::Reduce { reduction, none_is_none, .. } if !inputs.get(0)?.dtype.is_float() => {
                self.integer_reduce(node, &inputs, *reduction, *none_is_none)
            }
            Op::Reduce { reduction, none_is_none, .. } => {
                self.reduce(node, &inputs, *reduction, *none_is_none, epilogue.result)
            }
            Op::Softmax { axis, log, flatten } => {
                self.softmax(node, *axis, *log, *flatten, epilogue.result)
            }
            Op::Concat { axis } => self.concat(node, *axis, epilogue.result),
            Op::Gather { axis } => self.gather(node, *axis, epilogue.result),
            Op::Pad { mode: PadMode::Constant } => self.pad(node, &inputs, epilogue.result),
            Op::Pad { mode } => self.continued(node, &inputs, *mode, epilogue.result),
            Op::Resize(resize) => self.resample(node, resize.stages(&inputs)?, epilogue.result),
            Op::Where => self.choose(node, epilogue.result),
            Op::Compare(comparison) => self.compare(node, *comparison, epilogue.result),
            Op::Not => self.not(node, epilogue.result),
            Op::Cast { to } => self.cast(node, *to, epilogue.result),
            Op::Host(host) => match host.form() {
                Some(form) => self.formed(node, &inputs, form),
                None => self.routine(node, Misfit::Operator(node.label.operator.clone())),
            },
            _ => self.routine(node, Misfit::Operator(node.label.operator.clone())),
        }
    }

    fn add_storage(&mut self, home: Home, bytes: usize, holds: Option<Held>) -> usize {
        self.done.storages.push(Storage { home, bytes, holds });
        self.done.storages.len() - 1
    }

    fn fact(&self, id: ValueId) -> Result<&Fact, Error> {
        self.known.get(id)
    }

    /// Input `index` of a node, which shape inference has found there.
    fn input(node: &Node, index: usize) -> Result<ValueId, Error> {
        let input = node.inputs.get(index).copied().flatten();
        input.ok_or_else(|| Error::invalid_model(format!("lacks input {index}")))
    }

    /// Where a value lies; constants get their place when they are first needed.
    fn locate(&mut self, id: ValueId) -> Result<Located, Error> {
        if let Some(located) = &self.located[id.0] {
            return Ok(located.clone());
        }
        let fact = self.known.get(id)?;
        let view = View::contiguous(&fact.shape);
        let storage = match &fact.constant {
            _ if self.graph.values[id.0].is_constant() => self.plain_weight(id, fact.bytes()),
            Some(tensor) => self.add_constant(tensor.clone()),
            None => return Err(Error::invalid_model("uses a value that nothing has computed")),
        };
        let located = Located { storage, view };
        self.located[id.0] = Some(located.clone());
        Ok(located)
    }

    /// The value in row-major order.
    fn dense(&mut self, id: ValueId) -> Result<Spot, Error> {
        let located = self.locate(id)?;
        let dtype = self.fact(id)?.dtype;
        if let Some(spot) = aligned(&located, dtype).filter(|_| located.view.is_contiguous()) {
            return Ok(spot);
        }
        let copy = self.copied(&located, id)?;
        let spot = Spot { storage: copy.storage, offset: 0 };
        self.located[id.0] = Some(copy);
        Ok(spot)
    }

    /// The value through strides that do not point backwards, for kernels that take such.
    fn strided(&mut self, id: ValueId, view: View) -> Result<(Spot, Vec<usize>), Error> {
        let dtype = self.fact(id)?.dtype;
        let storage = self.locate(id)?.storage;
        let located = Located { storage, view };
        if let (Some(spot), Some(strides)) =
            (aligned(&located, dtype), located.view.forward_strides())
        {
            return Ok((spot, strides));
        }
        let copy = self.copied(&located, id)?;
        let strides = copy.view.forward_strides().unwrap_or_default();
        Ok((Spot { storage: copy.storage, offset: 0 }, strides))
    }

    /// A copy of a value in row-major order.
    fn copied(&mut self, located: &Located, value: ValueId) -> Result<Located, Error> {
        let dtype = self.fact(value)?.dtype;
        let view = View::contiguous(&located.view.shape);
        let bytes = view.count().saturating_mul(dtype.bytes());
        let holds = Held { value, dtype, shape: view.shape.clone() };
        let storage = self.add_storage(Home::Temporary, bytes, Some(holds));
        let target = Located { storage, view };
        self.copy(Reason::Order, located, &target, dtype)?;
        Ok(target)
    }

    fn copy(
        &mut self,
        why: Reason,
        source: &Located,
        target: &Located,
        dtype: DType,
    ) -> Result<(), Error> {
        let kernel = Kernel::StridedCopy(StridedCopy {
            element_bytes: dtype.bytes(),
            shape: source.view.shape.clone(),
            source_offset: source.view.offset,
            source_strides: source.view.strides.clone(),
            target_offset: target.view.offset,
            target_strides: target.view.strides.clone(),
        });
        let spot = |located: &Located| Spot { storage: located.storage, offset: 0 };
        self.emit_because(why, kernel, &[spot(source), spot(target)])
    }

    /// Memory for a result.
    fn produce(&mut self, id: ValueId) -> Result<Spot, Error> {
        let fact = self.fact(id)?;
        let (bytes, view) = (fact.bytes(), View::contiguous(&fact.shape));
        let holds = Held { value: id, dtype: fact.dtype, shape: fact.shape.clone() };
        let storage = self.add_storage(Home::Temporary, bytes, Some(holds));
        self.located[id.0] = Some(Located { storage, view });
        Ok(Spot { storage, offset: 0 })
    }

    /// Appends the kernel of a node, whose last operand is its result.
    fn emit(&mut self, kernel: Kernel, spots: &[Spot]) -> Result<(), Error> {
        self.emit_because(Reason::Kernel, kernel, spots)
    }

    fn emit_because(&mut self, why: Reason, kernel: Kernel, spots: &[Spot]) -> Result<(), Error> {
        let unfit = |what: String| Error::invalid_model(format!("{} {what}", kernel.name()));
        let specs = kernel.operands().map_err(|mismatch| unfit(mismatch.to_string()))?;
        if specs.len() != spots.len() {
            return Err(unfit(format!("takes {} operands, not {}", specs.len(), spots.len())));
        }
        let mut operands = Vec::with_capacity(spots.len());
        for (spec, spot) in specs.iter().zip(spots) {
            let whole = self.done.storages[spot.storage].bytes;
            let bytes = spec.bytes.unwrap_or(whole);
            if spot.offset.checked_add(bytes).is_none_or(|end| whole < end) {
                let found = format!("needs {bytes} bytes at {} of {whole}", spot.offset);
                return Err(unfit(found));
            }
            operands.push(RawOperand { storage: spot.storage, offset: spot.offset, bytes });
        }
        let writes = |(spec, operand): (&OperandSpec, &RawOperand)| {
            spec.access == Access::Write && operand.bytes != 0
        };
        if specs.iter().zip(&operands).any(writes) {
            let operation = Operation::Kernel(Arc::new(kernel));
            self.done.steps.push(RawStep { operation, operands, node: self.current, why });
        }
        Ok(())
    }

    /// Lets an output of the model be what computes it, or a copy of that.
    fn output(&mut self, index: usize) -> Result<(), Error> {
        let (id, _) = &self.graph.outputs[index];
        let located = self.locate(*id)?;
        let fact = self.fact(*id)?;
        let (dtype, bytes) = (fact.dtype, fact.bytes());
        let storage = &self.done.storages[located.storage];
        let whole = located.view.is_contiguous() && located.view.offset == 0;
        if storage.home == Home::Temporary && whole && storage.bytes == bytes {
            self.done.storages[located.storage].home = Home::Output(index);
            return Ok(());
        }
        let view = View::contiguous(&located.view.shape);
        let holds = Held { value: *id, dtype, shape: view.shape.clone() };
        let storage = self.add_storage(Home::Output(index), bytes, Some(holds));
        self.copy(Reason::Output, &located, &Located { storage, view }, dtype)
    }

    /// What moving operators do: another view of the same storage, or `false` for other operators.
    fn moved(&mut self, node: &Node, inputs: &Facts<'_>) -> Result<bool, Error> {
        let Some(movements) = crate::ops::Movement::of(&node.op, inputs, node.outputs.len())?
        else {
            return Ok(false);
        };
        let input = Self::input(node, 0)?;
        for (movement, output) in movements.iter().zip(&node.outputs) {
            let Some(output) = output else { continue };
            let mut located = self.locate(input)?;
            for (index, step) in movement.steps().iter().enumerate() {
                let view = match step.apply(&located.view) {
                    Some(view) => view,
                    None => {
                        located = match index {
                            0 => {
                                self.dense(input)?;
                                self.locate(input)?
                            }
                            _ => self.copied(&located, input)?,
                        };
                        let view = step.apply(&located.view);
                        view.ok_or_else(|| Error::invalid_model("cannot be reshaped"))?
                    }
                };
                located = Located { storage: located.storage, view };
            }
            self.located[output.0] = Some(located);
        }
        Ok(true)
    }
}

/// The first byte of what is located, if kernels may be given it.
fn aligned(located: &Located, dtype: DType) -> Option<Spot> {
    let offset = located.view.offset.checked_mul(dtype.bytes())?;
    offset.is_multiple_of(ALIGN_BYTES).then_some(Spot { storage: located.storage, offset })
}
