//! The attributes of one node, each read at most once; what nobody reads is an error, because an
//! attribute that is not understood changes what the node means.

use super::proto::{AttributeProto, attribute_type};
use super::tensor::{Source, tensor};
use crate::error::Error;
use crate::tensor::Tensor;

/// Attributes that have not been read yet.
pub(super) struct Attributes {
    left: Vec<AttributeProto>,
}

impl Attributes {
    pub(super) fn new(attributes: Vec<AttributeProto>) -> Result<Self, Error> {
        for (index, attribute) in attributes.iter().enumerate() {
            let name = attribute.name();
            if attributes[..index].iter().any(|earlier| earlier.name() == name) {
                return Err(Error::invalid_model(format!("has two attributes '{name}'")));
            }
        }
        Ok(Self { left: attributes })
    }

    fn take(&mut self, name: &str, wanted: i32) -> Result<Option<AttributeProto>, Error> {
        let Some(place) = self.left.iter().position(|attribute| attribute.name() == name) else {
            return Ok(None);
        };
        let attribute = self.left.swap_remove(place);
        // Files older than IR version 2 do not say the type.
        if ![0, wanted].contains(&attribute.r#type()) || attribute.ref_attr_name.is_some() {
            return Err(Error::invalid_model(format!("has attribute '{name}' of another type")));
        }
        Ok(Some(attribute))
    }

    pub(super) fn integer(&mut self, name: &str, default: i64) -> Result<i64, Error> {
        Ok(self.take(name, attribute_type::INT)?.map_or(default, |attribute| attribute.i()))
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Error> {
        Ok(self.integer(name, default.into())? != 0)
    }

    pub(super) fn float(&mut self, name: &str, default: f32) -> Result<f32, Error> {
        Ok(self.take(name, attribute_type::FLOAT)?.map_or(default, |attribute| attribute.f()))
    }

    pub(super) fn floats(&mut self, name: &str) -> Result<Option<Vec<f32>>, Error> {
        Ok(self.take(name, attribute_type::FLOATS)?.map(|attribute| attribute.floats))
    }

    pub(super) fn integers(&mut self, name: &str) -> Result<Option<Vec<i64>>, Error> {
        Ok(self.take(name, attribute_type::INTS)?.map(|attribute| attribute.ints))
    }

    /// Sizes: integers that are not negative.
    pub(super) fn sizes(&mut self, name: &str) -> Result<Option<Vec<usize>>, Error> {
        let Some(values) = self.integers(name)? else { return Ok(None) };
        let sizes = values.iter().map(|&value| usize::try_from(value)).collect::<Result<_, _>>();
        let invalid = |_| Error::invalid_model(format!("has attribute '{name}' of {values:?}"));
        sizes.map(Some).map_err(invalid)
    }

    pub(super) fn string(&mut self, name: &str, default: &str) -> Result<String, Error> {
        let Some(attribute) = self.take(name, attribute_type::STRING)? else {
            return Ok(default.to_owned());
        };
        let invalid = |_| Error::invalid_model(format!("has attribute '{name}' that is not text"));
        String::from_utf8(attribute.s.unwrap_or_default()).map_err(invalid)
    }

    pub(super) fn tensor(&mut self, name: &str, source: &Source) -> Result<Option<Tensor>, Error> {
        let Some(attribute) = self.take(name, attribute_type::TENSOR)? else { return Ok(None) };
        let invalid = || Error::invalid_model(format!("has attribute '{name}' without a tensor"));
        tensor(attribute.t.ok_or_else(invalid)?, None, source).map(Some)
    }

    /// Drops attributes that change nothing about inference.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        self.left.retain(|attribute| !names.contains(&attribute.name()));
    }

    /// Makes sure that all have been read.
    pub(super) fn finish(&self) -> Result<(), Error> {
        match self.left.first() {
            None => Ok(()),
            Some(attribute) => {
                let name = attribute.name().escape_debug();
                Err(Error::unsupported(format!("has an attribute '{name}' that is not known")))
            }
        }
    }
}
