//! The steps like the log of a version control system: one row a step, and each value a lane from
//! who makes it to who uses it last.

use anabranch::{PlanInfo, ValuePlace};

use super::style::{COLOURS, LANE, ROW};
use super::{escaped, extents, name_of, push, shape_of};

/// From which row to which row a value lives, and in which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) lane: usize,
}

/// What stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Input(usize),
    Step(usize),
    Output(usize),
}

/// All rows: inputs, steps, outputs. Ports are named by their value.
fn rows(plan: &PlanInfo) -> Vec<Row> {
    let ports = |wanted: fn(&ValuePlace) -> bool| {
        let values = plan.values.iter().enumerate();
        values.filter(move |(_, value)| wanted(&value.place)).map(|(index, _)| index)
    };
    let inputs = ports(|place| matches!(place, ValuePlace::Input(_))).map(Row::Input);
    let outputs = ports(|place| matches!(place, ValuePlace::Output(_))).map(Row::Output);
    inputs.chain((0..plan.steps.len()).map(Row::Step)).chain(outputs).collect()
}

/// The lane of each value: the leftmost that is free. A value may take the lane of one that the
/// same step uses last.
pub(super) fn lanes(plan: &PlanInfo) -> Vec<Lane> {
    let rows = rows(plan);
    let row_of = |wanted: Row| rows.iter().position(|row| *row == wanted).unwrap_or(0);
    let steps_from = rows.iter().take_while(|row| matches!(row, Row::Input(_))).count();
    let mut lanes: Vec<Lane> = Vec::with_capacity(plan.values.len());
    for (index, value) in plan.values.iter().enumerate() {
        let life = value.life.map(|(first, last)| (first + steps_from, last + steps_from));
        let (first, last) = match value.place {
            ValuePlace::Input(_) => {
                let own = row_of(Row::Input(index));
                (own, life.map_or(own, |life| life.1))
            }
            ValuePlace::Output(_) => {
                let own = row_of(Row::Output(index));
                (life.map_or(own, |life| life.0), own)
            }
            ValuePlace::Arena(_) => life.unwrap_or_default(),
        };
        lanes.push(Lane { first, last, lane: 0 });
    }
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    order.sort_by_key(|&index| (lanes[index].first, index));
    let mut busy_until: Vec<usize> = Vec::new();
    for index in order {
        let Lane { first, last, .. } = lanes[index];
        let free = busy_until.iter().position(|&until| until <= first);
        let lane = free.unwrap_or(busy_until.len());
        // A lane that ends where it begins still takes its row.
        let until = last.max(first + 1);
        if lane == busy_until.len() {
            busy_until.push(until);
        } else {
            busy_until[lane] = until;
        }
        lanes[index].lane = lane;
    }
    lanes
}

/// The drawing beside the names.
pub(super) fn graph(plan: &PlanInfo) -> String {
    let rows = rows(plan);
    let lanes = lanes(plan);
    let width = (lanes.iter().map(|lane| lane.lane).max().unwrap_or(0) + 2) * LANE;
    let height = rows.len() * ROW;
    let mut text = format!(
        "<div class=\"graph\"><svg width=\"{width}\" height=\"{height}\" aria-hidden=\"true\">"
    );
    for (value, lane) in lanes.iter().enumerate() {
        text.push_str(&line(plan, &rows, &lanes, value, *lane));
    }
    for (place, row) in rows.iter().enumerate() {
        let lane = lane_of(plan, &lanes, *row);
        let (x, y) = centre(place, lane);
        let colour = lane % COLOURS;
        push(
            &mut text,
            format_args!("<circle class=\"dot c{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"5\"/>"),
        );
    }
    text.push_str("</svg>");
    for (row, lane) in rows.iter().zip(rightmost(&lanes, rows.len())) {
        text.push_str(&words(plan, *row, (lane + 2) * LANE));
    }
    text.push_str("</div>");
    text
}

/// The rightmost lane of each row, behind which there is room for words.
fn rightmost(lanes: &[Lane], rows: usize) -> Vec<usize> {
    let mut rightmost = vec![0; rows];
    for lane in lanes {
        for row in rightmost.iter_mut().take(lane.last + 1).skip(lane.first) {
            *row = lane.lane.max(*row);
        }
    }
    rightmost
}

fn centre(row: usize, lane: usize) -> (usize, usize) {
    (lane * LANE + LANE, row * ROW + ROW / 2)
}

/// The lane that the dot of a row stands in.
fn lane_of(plan: &PlanInfo, lanes: &[Lane], row: Row) -> usize {
    let value = match row {
        Row::Input(value) | Row::Output(value) => Some(value),
        Row::Step(step) => plan.steps[step].writes.first().copied(),
    };
    value.map_or(0, |value| lanes[value].lane)
}

/// A value: down its lane, and over to each of its users.
fn line(plan: &PlanInfo, rows: &[Row], lanes: &[Lane], value: usize, own: Lane) -> String {
    let mut path = String::new();
    let reads = |row: Row| match row {
        Row::Step(step) => plan.steps[step].reads.contains(&value),
        _ => false,
    };
    let (x, top) = centre(own.first, own.lane);
    let mut down = top;
    for (place, row) in rows.iter().enumerate().take(own.last + 1).skip(own.first + 1) {
        let (user_x, y) = centre(place, lane_of(plan, lanes, *row));
        if reads(*row) {
            let bend = y - ROW / 2;
            push(&mut path, format_args!("M{x} {bend}Q{x} {y} {user_x} {y}"));
            down = down.max(if place == own.last { bend } else { y });
        } else {
            down = down.max(y);
        }
    }
    let colour = own.lane % COLOURS;
    format!("<path class=\"lane c{colour}\" d=\"M{x} {top}V{down}{path}\"/>")
}

fn words(plan: &PlanInfo, row: Row, indent: usize) -> String {
    let port = |noun: &str, value: usize| {
        let value = &plan.values[value];
        format!(
            "<div class=\"row\" style=\"padding-left:{indent}px\"><b>{noun}</b><i>{}</i>\
             <em>{}</em></div>",
            escaped(&value.name),
            extents(&value.shape)
        )
    };
    let index = match row {
        Row::Input(value) => return port("in", value),
        Row::Output(value) => return port("out", value),
        Row::Step(index) => index,
    };
    let step = &plan.steps[index];
    let (name, shape) = (name_of(plan, step), shape_of(plan, step));
    let told = escaped(&step.to_string());
    format!(
        "<a class=\"row\" id=\"r{index}\" href=\"#s{index}\" style=\"padding-left:{indent}px\" \
         title=\"{name}: {told}\"><b>{index}</b><i>{name}</i><span>{told}</span>\
         <em>{shape}</em></a>"
    )
}
