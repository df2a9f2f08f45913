//! Operators on images.

use anabranch_hal::kernel::{Outside, Sampling};

use super::{Context, Translated, meaningless, size};
use crate::error::Error;
use crate::host::{self, Coordinates, Interpolation, KeepAspect, Resize, TransposedWindow};
use crate::onnx::operators::window::window;
use crate::onnx::tensor::float_constant;
use crate::ops::{Op, Window};

pub(super) fn affine_grid(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::affine_grid(context.attributes.flag("align_corners", false)?).into())
}

pub(super) fn conv_integer(context: &mut Context<'_>) -> Result<Translated, Error> {
    let groups = size(context, "group")?.unwrap_or(1);
    let scaled = context.operator == "QLinearConv";
    Ok(host::conv_integer(window(context)?, groups, scaled).into())
}

pub(super) fn conv_transpose(context: &mut Context<'_>) -> Result<Translated, Error> {
    let groups = size(context, "group")?.unwrap_or(1);
    let output_padding = context.attributes.sizes("output_padding")?.unwrap_or_default();
    let output_shape = context.attributes.sizes("output_shape")?;
    let Window { strides, dilations, padding, .. } = window(context)?;
    let window =
        TransposedWindow { strides, dilations, padding, output_padding, output_shape, groups };
    super::transposed::by_phases(context, window)
}

pub(super) fn lp_pool(context: &mut Context<'_>) -> Result<Translated, Error> {
    let p = context.attributes.integer("p", 2)?;
    if context.operator == "GlobalLpPool" {
        return Ok(host::lp_pool(None, p).into());
    }
    let ceil = context.attributes.flag("ceil_mode", false)?;
    Ok(host::lp_pool(Some(Window { ceil, ..window(context)? }), p).into())
}

pub(super) fn max_unpool(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::max_unpool(window(context)?).into())
}

pub(super) fn grid_sample(context: &mut Context<'_>) -> Result<Translated, Error> {
    let sampling = match &*context.attributes.string("mode", "linear")? {
        "nearest" => Sampling::Nearest,
        "linear" | "bilinear" => Sampling::Linear,
        "cubic" | "bicubic" => Sampling::Cubic,
        other => return Err(meaningless("mode", other)),
    };
    let outside = match &*context.attributes.string("padding_mode", "zeros")? {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return Err(meaningless("padding_mode", other)),
    };
    let align = context.attributes.flag("align_corners", false)?;
    Ok(host::grid_sample(sampling, outside, align).into())
}

pub(super) fn non_max_suppression(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::non_max_suppression(context.attributes.flag("center_point_box", false)?).into())
}

pub(super) fn region_align(context: &mut Context<'_>) -> Result<Translated, Error> {
    let usual = if context.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match &*context.attributes.string("coordinate_transformation_mode", usual)? {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(meaningless("coordinate_transformation_mode", other)),
    };
    let largest = match &*context.attributes.string("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return Err(meaningless("mode", other)),
    };
    let height = size(context, "output_height")?.unwrap_or(1);
    let width = size(context, "output_width")?.unwrap_or(1);
    let samples = size(context, "sampling_ratio")?.unwrap_or(0);
    let scale = context.attributes.float("spatial_scale", 1.0)?;
    let size = [height, width];
    let align = host::RegionAlign { size, scale, samples, half_pixel, largest };
    Ok(host::region_align(align).into())
}

/// What an older resampling is.
fn older(context: &mut Context<'_>) -> Result<Translated, Error> {
    let interpolation = match &*context.attributes.string("mode", "nearest")? {
        "nearest" => Interpolation::Nearest { prefer_ceil: false, one_sided: true },
        "linear" | "bilinear" => Interpolation::Linear { antialias: false },
        other => return Err(meaningless("mode", other)),
    };
    if context.inputs.len() < 2 {
        return Err(Error::invalid_model("does not say how to resize"));
    }
    context.inputs.insert(1, None);
    Ok(Op::Resize(Resize {
        coordinates: Coordinates::Asymmetric,
        interpolation,
        axes: None,
        exclude_outside: false,
        extrapolation: 0.0,
        keep_aspect: KeepAspect::Stretch,
    })
    .into())
}

pub(super) fn upsample(context: &mut Context<'_>) -> Result<Translated, Error> {
    if let Some(scales) = context.attributes.floats("scales")? {
        context.set_input(1, float_constant(&[scales.len()], &scales)?);
    }
    older(context)
}

pub(super) fn resize(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.opset < 11 {
        return older(context);
    }
    let attributes = &mut context.attributes;
    let usual = "half_pixel";
    let coordinates = match &*attributes.string("coordinate_transformation_mode", usual)? {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return Err(meaningless("coordinate_transformation_mode", other)),
    };
    let antialias = attributes.flag("antialias", false)?;
    let a = f64::from(attributes.float("cubic_coeff_a", -0.75)?);
    let nearest = attributes.string("nearest_mode", "round_prefer_floor")?;
    let (prefer_ceil, one_sided) = match &*nearest {
        "round_prefer_floor" => (false, false),
        "round_prefer_ceil" => (true, false),
        "floor" => (false, true),
        "ceil" => (true, true),
        other => return Err(meaningless("nearest_mode", other)),
    };
    let interpolation = match &*attributes.string("mode", "nearest")? {
        "nearest" => Interpolation::Nearest { prefer_ceil, one_sided },
        "linear" => Interpolation::Linear { antialias },
        "cubic" => Interpolation::Cubic { antialias, a },
        other => return Err(meaningless("mode", other)),
    };
    let keep_aspect = match &*attributes.string("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => KeepAspect::Stretch,
        "not_larger" => KeepAspect::NotLarger,
        "not_smaller" => KeepAspect::NotSmaller,
        other => return Err(meaningless("keep_aspect_ratio_policy", other)),
    };
    Ok(Op::Resize(Resize {
        coordinates,
        interpolation,
        axes: attributes.integers("axes")?,
        exclude_outside: attributes.flag("exclude_outside", false)?,
        extrapolation: attributes.float("extrapolation_value", 0.0)?.into(),
        keep_aspect,
    })
    .into())
}
