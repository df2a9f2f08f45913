//! What results are held against: the right classes, and results of somebody else.

use std::path::{Path, PathBuf};

use anabranch::Tensor;

use crate::cli::model::read_array;
use crate::failure::Failure;

/// The right class of each item.
pub(super) struct Labels {
    path: PathBuf,
    classes: Vec<i64>,
}

impl Labels {
    /// Reads an array of whole numbers.
    ///
    /// # Errors
    /// An unreadable file, or one with other elements.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let tensor = read_array(path)?;
        let classes = tensor
            .as_i64()
            .map(<[i64]>::to_vec)
            .or_else(|| tensor.as_i32().map(|labels| labels.iter().map(|&l| l.into()).collect()))
            .or_else(|| tensor.as_u8().map(|labels| labels.iter().map(|&l| l.into()).collect()))
            .or_else(|| tensor.as_i8().map(|labels| labels.iter().map(|&l| l.into()).collect()));
        let classes = classes.ok_or_else(|| {
            let path = path.display();
            Failure::input(format!("{path}: labels are whole numbers, not {tensor:?}"))
        })?;
        Ok(Self { path: path.to_owned(), classes })
    }

    /// Whether there is one for each item.
    pub(super) fn check(&self, items: usize) -> Result<(), Failure> {
        let labels = self.classes.len();
        if labels == items {
            return Ok(());
        }
        let path = self.path.display();
        Err(Failure::input(format!("{path}: has {labels} labels, and there are {items} items")))
    }

    /// Whether classes can be read from the output.
    pub(super) fn check_scores(&self, scores: &Tensor) -> Result<(), Failure> {
        if scores.as_f32().is_some() && 2 <= scores.shape().len() {
            return Ok(());
        }
        let path = self.path.display();
        Err(Failure::input(format!(
            "{path}: the first output, {scores:?}, has no scores of classes"
        )))
    }

    /// The share of items whose class has the largest score; `None` without items.
    pub(super) fn accuracy(&self, scores: &Tensor) -> Option<f64> {
        let elements = scores.as_f32()?;
        let classes = elements.len().checked_div(self.classes.len())?;
        if classes == 0 {
            return None;
        }
        let rows = elements.chunks_exact(classes);
        let right = rows.zip(&self.classes).filter(|(row, label)| {
            best(row).and_then(|class| i64::try_from(class).ok()) == Some(**label)
        });
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let share = right.count() as f64 / self.classes.len() as f64;
        Some(share)
    }
}

/// The first of the largest scores; none where one is not a number.
fn best(scores: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if scores[best] < *score {
            best = class;
        }
    }
    Some(best)
}

/// What the first output should be.
pub(super) struct Expected {
    path: PathBuf,
    shape: Vec<usize>,
    elements: Vec<f64>,
}

impl Expected {
    /// Reads an array of floats.
    ///
    /// # Errors
    /// An unreadable file, or one with other elements.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let tensor = read_array(path)?;
        Self::of(path, &tensor).ok_or_else(|| {
            let path = path.display();
            Failure::input(format!(
                "{path}: is compared as floats of 32 or 64 bits, not {tensor:?}"
            ))
        })
    }

    /// What a tensor of floats holds; `path` is what it is called.
    pub(super) fn of(path: &Path, tensor: &Tensor) -> Option<Self> {
        let elements = tensor.as_f64().map(<[f64]>::to_vec).or_else(|| {
            tensor.as_f32().map(|elements| elements.iter().map(|&e| e.into()).collect())
        });
        Some(Self { path: path.to_owned(), shape: tensor.shape().to_vec(), elements: elements? })
    }

    /// The largest magnitude.
    pub(super) fn max_abs(&self) -> f64 {
        self.elements.iter().fold(0.0, |largest, element| element.abs().max(largest))
    }

    /// Whether it can be compared with an output.
    pub(super) fn check(&self, output: &Tensor) -> Result<(), Failure> {
        if output.as_f32().is_some() && output.shape() == self.shape {
            return Ok(());
        }
        let (path, shape) = (self.path.display(), &self.shape);
        Err(Failure::input(format!(
            "{path}: is of shape {shape:?}, the first output is {output:?}"
        )))
    }

    /// The largest absolute difference; the largest number there is where one side is not finite
    /// and the other is something else. `None` without elements.
    pub(super) fn max_abs_err(&self, output: &Tensor) -> Option<f64> {
        let differences = output.as_f32()?.iter().zip(&self.elements).map(|(&have, &want)| {
            let have = f64::from(have);
            let is_same = have == want || (have.is_nan() && want.is_nan());
            let difference = (have - want).abs();
            match (is_same, difference.is_finite()) {
                (true, _) => 0.0,
                (false, true) => difference,
                (false, false) => f64::MAX,
            }
        });
        differences.reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use anabranch::Tensor;

    use super::{Expected, Labels};

    #[test]
    fn accuracy_counts_the_first_of_the_largest() {
        let labels = Labels { path: PathBuf::new(), classes: vec![1, 0, 2, 1] };
        let scores = vec![0.0, 2.0, 1.0, 5.0, 5.0, 0.0, 0.0, 0.0, f32::NAN, 9.0, 0.0, 0.0];
        let scores = Tensor::from_f32(&[4, 3], scores).unwrap();
        assert_eq!(labels.accuracy(&scores), Some(0.5));
    }

    #[test]
    fn what_is_not_finite_is_never_close() {
        let error = |have: f32, want: f64| {
            let expected = Expected { path: PathBuf::new(), shape: vec![1], elements: vec![want] };
            expected.max_abs_err(&Tensor::from_f32(&[1], vec![have]).unwrap()).unwrap()
        };
        assert_eq!(error(1.0, 1.5), 0.5);
        assert_eq!(error(f32::NAN, f64::NAN), 0.0);
        assert_eq!(error(f32::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(error(f32::NAN, 1.0), f64::MAX);
        assert_eq!(error(f32::INFINITY, f64::NEG_INFINITY), f64::MAX);
    }
}
