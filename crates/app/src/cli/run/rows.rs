//! Results, one for each item.

use std::ops::Range;

use anabranch::Tensor;

use crate::failure::Failure;

/// Outputs with one result for each row.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    outputs: Vec<(String, Tensor)>,
}

impl Rows {
    /// Whether outputs have one result for each of `rows` items.
    pub(super) fn check(outputs: &[(String, Tensor)], rows: usize) -> Result<(), Failure> {
        if outputs.is_empty() {
            return Err(Failure::input("the model has no outputs"));
        }
        match outputs.iter().find(|(_, tensor)| tensor.shape().first() != Some(&rows)) {
            None => Ok(()),
            Some((name, tensor)) => Err(Failure::input(format!(
                "the output '{name}' is {tensor:?} for {rows} items: it has no result for each"
            ))),
        }
    }

    /// Joins the outputs of consecutive passes.
    pub(super) fn join(passes: Vec<Vec<(String, Tensor)>>) -> Result<Self, Failure> {
        let names: Vec<String> =
            passes.first().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let mut columns: Vec<Vec<Tensor>> = vec![Vec::with_capacity(passes.len()); names.len()];
        for pass in passes {
            for (column, (_, tensor)) in columns.iter_mut().zip(pass) {
                column.push(tensor);
            }
        }
        let joined = columns.iter().map(|parts| Tensor::concat(parts));
        let joined = joined.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { outputs: names.into_iter().zip(joined).collect() })
    }

    /// The first output.
    pub(super) fn first(&self) -> &Tensor {
        self.tensor(0)
    }

    /// An output by its place; it is there.
    pub(super) fn tensor(&self, index: usize) -> &Tensor {
        &self.outputs[index].1
    }

    /// The place of an output.
    pub(super) fn position(&self, name: &str) -> Result<usize, Failure> {
        self.outputs.iter().position(|(known, _)| known == name).ok_or_else(|| {
            let known: Vec<&str> = self.outputs.iter().map(|(name, _)| name.as_str()).collect();
            let known = known.join("', '");
            Failure::input(format!("the model has no output '{name}'; it has '{known}'"))
        })
    }

    /// How many of the results in `outputs`, which are for `rows`, differ from these in any bit.
    pub(super) fn count_different(
        &self,
        outputs: &[(String, Tensor)],
        rows: Range<usize>,
    ) -> usize {
        let is_alike = outputs.len() == self.outputs.len()
            && outputs.iter().zip(&self.outputs).all(|((_, a), (_, b))| {
                a.dtype() == b.dtype()
                    && a.shape().get(1..) == b.shape().get(1..)
                    && a.shape().first() == Some(&rows.len())
            });
        if !is_alike {
            return rows.len().max(1);
        }
        let differs = |row: &usize| {
            outputs
                .iter()
                .zip(&self.outputs)
                .any(|((_, a), (_, b))| row_bytes(a, row - rows.start) != row_bytes(b, *row))
        };
        rows.clone().filter(differs).count()
    }
}

fn row_bytes(tensor: &Tensor, row: usize) -> &[u8] {
    let bytes = tensor.as_bytes();
    let size = bytes.len() / tensor.shape().first().copied().unwrap_or(1).max(1);
    &bytes[row * size..(row + 1) * size]
}

#[cfg(test)]
mod tests {
    use anabranch::Tensor;

    use super::Rows;

    fn rows(values: Vec<f32>) -> Vec<(String, Tensor)> {
        vec![("y".to_owned(), Tensor::from_f32(&[values.len() / 2, 2], values).unwrap())]
    }

    #[test]
    fn one_bit_makes_one_row_different() {
        let reference = Rows::join(vec![rows(vec![1.0, 2.0]), rows(vec![3.0, 0.0, 5.0, 6.0])]);
        let reference = reference.unwrap();
        assert_eq!(reference.first().shape(), [3, 2]);
        assert_eq!(reference.count_different(&rows(vec![3.0, 0.0, 5.0, 6.0]), 1..3), 0);
        assert_eq!(reference.count_different(&rows(vec![3.0, -0.0, 5.0, 6.0]), 1..3), 1);
        assert_eq!(reference.count_different(&rows(vec![3.0, 0.0]), 1..3), 2, "a missing row");
        assert_eq!(reference.count_different(&[], 1..3), 2, "a missing output");
    }

    #[test]
    fn no_rows_are_joined_to_none() {
        let reference = Rows::join(vec![rows(Vec::new())]).unwrap();
        assert_eq!(reference.first().shape(), [0, 2]);
        assert_eq!(reference.count_different(&rows(Vec::new()), 0..0), 0);
    }
}
