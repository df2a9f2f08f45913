//! What a graph remembers of the nodes of its file, whatever happens to them.

use super::Label;
use crate::fate::MergeRule;

/// Names a node of the file, or of a copy of one of its bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OriginId(pub(crate) usize);

/// Names one of the operators that a node of the file was translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartId(pub(crate) usize);

/// Why an operator is no longer in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Folded,
    SeenThrough,
    Merged { into: PartId, rule: MergeRule },
    Unneeded,
}

/// What happens to a node that is not translated itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Replaces,
    NeverRuns,
}

/// A node of the file.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) label: Label,
    pub(crate) body: Option<Body>,
}

/// One operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) origin: OriginId,
    pub(crate) gone: Option<Gone>,
}

/// Every node of the file, and every operator that there has been.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) origins: Vec<Origin>,
    pub(crate) parts: Vec<Part>,
}

impl Story {
    /// Notes a node of the file, and gives it its label.
    pub(crate) fn begin(&mut self, index: usize, name: String, operator: &str) -> Label {
        let origin = OriginId(self.origins.len());
        let label = Label { index, name, operator: operator.to_owned(), origin };
        self.origins.push(Origin { label: label.clone(), body: None });
        label
    }

    /// Notes what happens to a node that is not translated itself.
    pub(crate) fn settle(&mut self, origin: OriginId, body: Body) {
        self.origins[origin.0].body = Some(body);
    }

    /// Notes an operator of a node.
    pub(crate) fn add_part(&mut self, origin: OriginId) -> PartId {
        self.parts.push(Part { origin, gone: None });
        PartId(self.parts.len() - 1)
    }

    /// Notes that an operator leaves the graph. The first note stays: nothing comes back.
    pub(crate) fn note(&mut self, part: PartId, gone: Gone) {
        self.parts[part.0].gone.get_or_insert(gone);
    }
}
