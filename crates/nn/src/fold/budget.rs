//! What folding may cost: a file of a few hundred bytes may otherwise ask for anything.

use crate::error::Error;
use crate::limits::Limits;
use crate::ops::{Fact, Facts, Op};

/// What is left to fold in one walk over a model.
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    bytes: usize,
    products: u64,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        let (bytes, products) = (limits.folded_bytes_max, limits.folded_products_max);
        Self { limits, bytes, products }
    }

    /// Takes room for what is made up when a plan is made. False where there is none.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }

    /// Whether there is room for results.
    pub(crate) fn has_room(&self, facts: &[Fact]) -> bool {
        let bytes = facts.iter().map(Fact::bytes).fold(0, usize::saturating_add);
        bytes <= self.bytes
    }

    /// Takes what it costs to fold a node with these results. False when it takes more products
    /// than are left: it is computed when the model runs.
    ///
    /// # Errors
    /// `LimitExceeded` when the results are too large.
    pub(crate) fn take(
        &mut self,
        op: &Op,
        inputs: &Facts<'_>,
        facts: &[Fact],
    ) -> Result<bool, Error> {
        let Some(left) = self.products.checked_sub(products(op, inputs, facts)) else {
            return Ok(false);
        };
        self.products = left;
        for fact in facts {
            fact.check(self.limits)?;
            self.bytes = self.bytes.checked_sub(fact.bytes()).ok_or_else(|| {
                let max = self.limits.folded_bytes_max;
                Error::limit(format!("folds to {fact}, and constants may grow by {max} bytes"))
            })?;
        }
        Ok(true)
    }
}

/// An upper bound of the products that a node sums up; 0 where the work grows with the elements.
fn products(op: &Op, inputs: &Facts<'_>, facts: &[Fact]) -> u64 {
    let shape = |index| inputs.optional(index).map_or(&[][..], |fact| &fact.shape);
    let results = facts.iter().map(Fact::count).fold(0, usize::saturating_add);
    let many = |extents: &[usize]| extents.iter().copied().fold(1, usize::saturating_mul);
    let (a, b) = (shape(0), shape(1));
    let products = match op {
        Op::MatMul { transpose_a, .. } => {
            let summed = if *transpose_a { a.iter().nth_back(1) } else { a.last() };
            results.saturating_mul(summed.copied().unwrap_or(1))
        }
        Op::Conv { .. } => results.saturating_mul(many(b.get(1..).unwrap_or_default())),
        Op::Pool { window, .. } => {
            results.saturating_mul(many(window.kernel.as_deref().unwrap_or_default()))
        }
        Op::Host(host) if host.sums_products() => {
            let all = (0..inputs.len()).map(|index| many(shape(index)).max(1));
            all.fold(1, usize::saturating_mul)
        }
        _ => 0,
    };
    u64::try_from(products).unwrap_or(u64::MAX)
}
