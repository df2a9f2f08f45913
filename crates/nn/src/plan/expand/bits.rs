//! Types of a byte or less, which are tables, and integers without a sign as those with one.

use anabranch_hal::kernel::{BinaryFunction, IntegerFunction, Reduction};

use super::{Expanded, Place};
use crate::dtype::{DType, narrow};
use crate::error::Error;
use crate::fold;
use crate::graph::ValueId;
use crate::host;
use crate::ops::{Fact, Facts, Op};
use crate::tensor::Tensor;

/// Codes of a byte.
const CODES: u16 = 256;

impl Place<'_, '_> {
    /// The same bits as another type.
    pub(super) fn bits(&mut self, x: ValueId, to: DType) -> Result<ValueId, Error> {
        self.push(host::choose_type(Some(to), true, true), &[x])
    }

    pub(super) fn of_two(
        &mut self,
        function: IntegerFunction,
        x: ValueId,
        number: i64,
    ) -> Result<ValueId, Error> {
        let number = self.integer(self.fact(x)?.dtype, number)?;
        self.push(host::integer_function("Bits", function), &[x, number])
    }

    /// What `op` makes of each code of a type, picked by the codes.
    pub(super) fn looked_up(&mut self, op: &Op) -> Expanded {
        let x = self.input(0)?;
        let codes: Vec<u8> = (0..=u8::MAX).collect();
        let all = Tensor::from_bytes(self.fact(x)?.dtype, &[CODES.into()], &codes)?;
        let all = Fact::constant(all);
        let inputs = Facts(vec![Some(&all)]);
        let facts = op.infer(&inputs, 1)?;
        let Some(table) = fold::evaluate(op, &inputs, &facts)? else { return Ok(None) };
        let codes = self.bits(x, DType::U8)?;
        let codes = self.cast(codes, DType::I32)?;
        let [table] = &table[..] else { return Ok(None) };
        let table = self.constant(table.clone());
        Ok(Some(vec![self.push(Op::Gather { axis: 0 }, &[table, codes])?]))
    }

    pub(super) fn narrow_cast(&mut self, to: DType, saturates: bool) -> Expanded {
        let x = self.input(0)?;
        let from = self.fact(x)?.dtype;
        match to {
            _ if from.is_narrow() => self.looked_up(&host::choose_type(Some(to), false, saturates)),
            DType::I4 | DType::U4 | DType::I2 | DType::U2 => Ok(Some(vec![self.wrapped(x, to)?])),
            _ if to.is_narrow() => self.rounded(to, saturates).map(|x| Some(vec![x])),
            _ => Ok(None),
        }
    }

    /// A number as an integer of two or four bits, which wraps.
    fn wrapped(&mut self, x: ValueId, to: DType) -> Result<ValueId, Error> {
        let mask = match to {
            DType::I2 | DType::U2 => 3,
            _ => 15,
        };
        let x = self.cast(x, DType::I64)?;
        let x = self.of_two(IntegerFunction::And, x, mask)?;
        let x = self.cast(x, DType::U8)?;
        self.bits(x, to)
    }

    /// The upper bits of a float, made odd if there is anything in the lower ones, are enough to
    /// round to fewer bits: they are looked up.
    fn rounded(&mut self, to: DType, saturates: bool) -> Result<ValueId, Error> {
        let x = self.input(0)?;
        let from = self.fact(x)?.dtype;
        let is_wide =
            matches!(from, DType::F64 | DType::I64 | DType::I32 | DType::U64 | DType::U32);
        // Of the longer one a bit more, since its exponent is longer by three.
        let (float, bits, low) =
            if is_wide { (DType::F64, DType::U64, 47) } else { (DType::F32, DType::U32, 16) };
        let x = self.cast(x, float)?;
        let x = self.bits(x, bits)?;
        let upper = self.of_two(IntegerFunction::ShiftRight, x, low)?;
        let lower = self.of_two(IntegerFunction::And, x, (1 << low) - 1)?;
        let one = self.integer(bits, 1)?;
        let odd = self.binary(BinaryFunction::Min, lower, one)?;
        let upper =
            self.push(host::integer_function("Bits", IntegerFunction::Or), &[upper, odd])?;
        let upper = self.bits(upper, if is_wide { DType::I64 } else { DType::I32 })?;
        let count: u32 = if is_wide { 1 << 17 } else { 1 << 16 };
        let code = |upper: u32| {
            let value = match is_wide {
                true => f64::from_bits(u64::from(upper) << low),
                false => f32::from_bits(upper << low).into(),
            };
            narrow::from_f64(to, value, saturates)
        };
        let codes: Vec<u8> = (0..count).map(code).collect();
        let table = self.constant(Tensor::from_bytes(to, &[codes.len()], &codes)?);
        self.push(Op::Gather { axis: 0 }, &[table, upper])
    }

    /// A reduction of integers without a sign, by that of those with one.
    pub(super) fn unsigned_reduce(
        &mut self,
        x: ValueId,
        reduction: Reduction,
        reduced: &dyn Fn(Reduction) -> Op,
    ) -> Result<Option<ValueId>, Error> {
        let dtype = self.fact(x)?.dtype;
        let (twin, sign) = match dtype {
            DType::U64 => (DType::I64, i64::MIN),
            _ => (DType::I32, i32::MIN.into()),
        };
        let reduction = match reduction {
            // Nothing is below zero.
            Reduction::L1 => Reduction::Sum,
            Reduction::Mean | Reduction::L2 => return Ok(None),
            other => other,
        };
        let turns = matches!(reduction, Reduction::Max | Reduction::Min);
        // With the highest bit turned, both have the same order.
        let x = if turns { self.of_two(IntegerFunction::Xor, x, sign)? } else { x };
        let x = self.bits(x, twin)?;
        let inputs = [&[Some(x)], self.node.inputs.get(1..).unwrap_or_default()].concat();
        let result = self.push_all(reduced(reduction), inputs, 1)?[0];
        let result = self.bits(result, dtype)?;
        Ok(Some(if turns { self.of_two(IntegerFunction::Xor, result, sign)? } else { result }))
    }
}
