//! The items that a model runs on.

use std::ops::Range;

use anabranch::{ModelError, Port, Tensor};

use crate::cli::model::{NamedFile, assign, fixed_batch, read_array};
use crate::failure::Failure;

/// Arrays with one item for each row, cut into batches.
#[derive(Clone, Debug)]
pub(super) struct Items {
    inputs: Vec<(String, Tensor)>,
    rows: usize,
    unit: usize,
    batch: usize,
}

impl Items {
    /// Reads one array for each input of a model. Arrays without a name are for the inputs that
    /// no other array names, in order.
    ///
    /// # Errors
    /// Unreadable files, names that the model does not have, inputs without an array, arrays that
    /// differ in the number of items, and batches that the model does not take.
    pub(super) fn read(
        ports: &[Port],
        files: &[NamedFile],
        batch: Option<usize>,
        batch_default: usize,
    ) -> Result<Self, Failure> {
        let assigned = assign(ports, files)?;
        let is_given = |port: &&Port| assigned.iter().any(|(name, _)| *name == port.name);
        if let Some(port) = ports.iter().find(|port| !is_given(port)) {
            let message = format!("there is no --input for the model's input '{port}'");
            return Err(Failure::input(message));
        }
        let inputs = assigned
            .into_iter()
            .map(|(name, file)| Ok((name, read_array(&file.path)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let mut rows = None;
        for (name, tensor) in &inputs {
            let Some(&count) = tensor.shape().first() else {
                let message = format!("the array for '{name}' has no axis of items");
                return Err(Failure::input(message));
            };
            if *rows.get_or_insert(count) != count {
                let message = format!("the array for '{name}' has {count} items, others do not");
                return Err(Failure::input(message));
            }
        }
        let rows = rows.unwrap_or(0);
        let fixed = fixed_batch(ports);
        let batch = match (fixed, batch) {
            (Some(fixed), Some(batch)) if fixed != batch => {
                let message = format!("--batch {batch}: the model takes {fixed} items at a time");
                return Err(Failure::input(message));
            }
            (Some(fixed), _) => fixed,
            (None, batch) => batch.unwrap_or(batch_default),
        };
        let unit = fixed.unwrap_or(1);
        if unit == 0 || rows % unit != 0 {
            return Err(Failure::input(format!(
                "the model takes {unit} items at a time, and the input has {rows}"
            )));
        }
        Ok(Self { inputs, rows, unit, batch: batch.max(1) })
    }

    /// Number of items.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What people call an item.
    pub(super) fn noun(&self) -> &'static str {
        let is_image = self.inputs.first().is_some_and(|(_, tensor)| tensor.shape().len() == 4);
        if is_image { "images" } else { "items" }
    }

    /// Items in one pass.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// The rows of each pass. No items at all are one empty pass.
    pub(super) fn batches(&self) -> Vec<Range<usize>> {
        self.cut(self.batch)
    }

    /// The smallest passes that the model takes.
    pub(super) fn units(&self) -> Vec<Range<usize>> {
        self.cut(self.unit)
    }

    fn cut(&self, size: usize) -> Vec<Range<usize>> {
        // No items are one range as well, an empty one.
        (0..self.rows.max(1)).step_by(size).map(|at| at..self.rows.min(at + size)).collect()
    }

    /// Some rows of every input, in order. Shares the elements.
    pub(super) fn slice(&self, rows: Range<usize>) -> Result<Vec<Tensor>, ModelError> {
        self.inputs.iter().map(|(_, tensor)| tensor.rows(rows.clone())).collect()
    }

    /// Slices with the names of their inputs, as a pass takes them.
    pub(super) fn named<'a>(&'a self, slices: &'a [Tensor]) -> Vec<(&'a str, &'a Tensor)> {
        let names = self.inputs.iter().map(|(name, _)| name.as_str());
        names.zip(slices).collect()
    }
}
