//! The memory plan as a picture: time goes down, offsets go across.

use anabranch::{PlanInfo, ValuePlace};

use super::style::COLOURS;
use super::{escaped, life, place, push};
use crate::report::table;

/// Width of the picture, in its own units.
const WIDTH: usize = 1000;

/// The picture; a sentence where there are no intermediate results.
pub(super) fn memory(plan: &PlanInfo) -> String {
    if plan.arena_bytes == 0 {
        return "<p>There are no intermediate results.</p>".to_owned();
    }
    let step_height = (2400 / plan.steps.len().max(1)).clamp(4, 28);
    let height = plan.steps.len() * step_height;
    let scaled = |bytes: usize| {
        let wide = bytes as u128 * WIDTH as u128 / plan.arena_bytes as u128;
        usize::try_from(wide).unwrap_or(WIDTH).min(WIDTH)
    };
    let mut text = format!(
        "<div class=\"scale\"><span>0</span><span>{}</span></div>\
         <svg class=\"map\" viewBox=\"0 0 {WIDTH} {height}\" height=\"{height}\" \
         preserveAspectRatio=\"none\">",
        table::bytes(plan.arena_bytes)
    );
    let mut colour = 0;
    for value in &plan.values {
        let (ValuePlace::Arena(offset), Some((first, last))) = (value.place, value.life) else {
            continue;
        };
        let (x, end) = (scaled(offset), scaled(offset.saturating_add(value.bytes)));
        push(
            &mut text,
            format_args!(
                "<a href=\"#s{first}\"><rect class=\"c{}\" x=\"{x}\" y=\"{}\" width=\"{}\" \
                 height=\"{}\"><title>{}, {}, steps {}</title></rect></a>",
                colour % COLOURS,
                first * step_height,
                (end - x).max(2),
                (last + 1 - first) * step_height,
                escaped(&value.to_string()),
                place(value.place, value.bytes),
                life(value.life)
            ),
        );
        colour += 1;
    }
    text.push_str("</svg><p>Time goes down, one line a step; the offset goes across.</p>");
    text
}
