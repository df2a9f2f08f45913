//! Whether everything that a program saw can be true together.
//!
//! How each command ended is what its snapshot said last. From that follows what must have run,
//! what must not, which contents are known, and which failures have a reason.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Command, Lane, Note};
use super::operation::{BLOCK, BYTES, Contents};

struct Judge<'a> {
    log: &'a [Note],
    commands: Vec<(usize, &'a Command)>,
    commands_per_buffer_max: usize,
}

type Outcome = Result<(), String>;

fn is_well(command: &Command) -> bool {
    command.seen == Some(Ok(()))
}

/// Judges a log that has come to its end; how many commands failed. The contents of memory count
/// where the device computes.
pub(super) fn judge(
    log: &[Note],
    computes: bool,
    commands_per_buffer_max: usize,
) -> Result<usize, String> {
    let commands = log.iter().enumerate().filter_map(|(place, note)| match note {
        Note::Command(command) => Some((place, command)),
        _ => None,
    });
    let judge = Judge { log, commands: commands.collect(), commands_per_buffer_max };
    judge.ends()?;
    judge.order()?;
    judge.reasons()?;
    judge.contents(computes)?;
    Ok(judge.commands.iter().filter(|(_, command)| !is_well(command)).count())
}

impl Judge<'_> {
    fn command(&self, place: usize) -> &Command {
        match &self.log[place] {
            Note::Command(command) => command,
            _ => unreachable!("a command waits for a command"),
        }
    }

    /// What says that it is done has run; what fails by itself never says so.
    fn ends(&self) -> Outcome {
        for (place, command) in &self.commands {
            if is_well(command) && command.doomed {
                return Err(format!("EV-12: command {place} failed and counts as done"));
            }
            if is_well(command) && command.ran.is_some() && !command.has_run() {
                return Err(format!("SO-4: command {place} counts as done and has not run"));
            }
        }
        Ok(())
    }

    /// Whether the command at `place` failed.
    fn has_failed(&self, place: usize) -> bool {
        !is_well(self.command(place))
    }

    /// Nothing runs or is done behind what failed, on its stream or across a wait.
    fn order(&self) -> Outcome {
        // What stands on each lane: nothing behind the first runs, nothing behind the second is
        // done. A buffer fails as one, so what failed with it may have run.
        let mut lanes: BTreeMap<Lane, (Option<usize>, Option<usize>)> = BTreeMap::new();
        for (place, note) in self.log.iter().enumerate() {
            match note {
                Note::Wait { lane, awaited } if self.has_failed(*awaited) => {
                    let (broken, failed) = lanes.entry(*lane).or_default();
                    broken.get_or_insert(*awaited);
                    failed.get_or_insert(*awaited);
                }
                Note::Command(command) => {
                    let (broken, failed) = lanes.entry(command.lane).or_default();
                    if let Some(broken) = broken.filter(|_| command.has_run()) {
                        return Err(format!("EV-12: {place} ran behind {broken}, which failed"));
                    }
                    if let Some(failed) = failed.filter(|_| is_well(command)) {
                        return Err(format!(
                            "EV-12: {place} is done behind {failed}, which failed"
                        ));
                    }
                    if command.doomed {
                        broken.get_or_insert(place);
                    }
                    if !is_well(command) {
                        failed.get_or_insert(place);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Every failure comes from a command that failed by itself, or from the loss of the device.
    fn reasons(&self) -> Outcome {
        if self.log.iter().any(|note| matches!(note, Note::Lost)) {
            return Ok(());
        }
        let mut explained: BTreeSet<usize> = BTreeSet::new();
        let mut lanes: BTreeSet<Lane>;
        loop {
            let before = explained.len();
            lanes = self.explain(&mut explained);
            self.explain_buffers(&mut explained);
            if explained.len() == before {
                break;
            }
        }
        for (place, note) in self.log.iter().enumerate() {
            let reason = match note {
                Note::Command(command) => is_well(command) || explained.contains(&place),
                Note::Refused { lane } => lanes.contains(lane),
                _ => true,
            };
            if !reason {
                return Err(format!("ER-5: {place} failed or was refused for no reason"));
            }
        }
        Ok(())
    }

    /// Adds what fails because of itself, or of what is explained before it. Returns the lanes
    /// that have failed in the end.
    fn explain(&self, explained: &mut BTreeSet<usize>) -> BTreeSet<Lane> {
        let mut lanes: BTreeSet<Lane> = BTreeSet::new();
        let mut objects: BTreeSet<usize> = BTreeSet::new();
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        for (place, note) in self.log.iter().enumerate() {
            match note {
                Note::Gone { object } => {
                    gone.insert(*object);
                }
                Note::Born { object } if !gone.is_disjoint(&objects) => {
                    objects.insert(*object);
                }
                Note::Wait { lane, awaited } if explained.contains(awaited) => {
                    lanes.insert(*lane);
                }
                Note::Command(command) if !is_well(command) => {
                    let shared = touched(command).any(|object| objects.contains(&object));
                    if command.doomed || shared || lanes.contains(&command.lane) {
                        explained.insert(place);
                    }
                    if explained.contains(&place) {
                        lanes.insert(command.lane);
                        objects.extend(touched(command));
                    }
                }
                _ => {}
            }
        }
        lanes
    }

    /// Adds what fails because of what is explained behind it in its command buffer. A wait for
    /// what failed begins another one.
    fn explain_buffers(&self, explained: &mut BTreeSet<usize>) {
        let mut left: BTreeMap<(Lane, usize), usize> = BTreeMap::new();
        for (place, note) in self.log.iter().enumerate().rev() {
            match note {
                Note::Wait { lane, awaited } if self.has_failed(*awaited) => {
                    left.retain(|(known, _), _| known != lane);
                }
                Note::Command(command) => {
                    let left = left.entry((command.lane, command.part)).or_default();
                    if 0 < *left && !is_well(command) {
                        explained.insert(place);
                    }
                    *left = match explained.contains(&place) {
                        true => self.commands_per_buffer_max,
                        false => left.saturating_sub(1),
                    };
                }
                _ => {}
            }
        }
    }

    /// What was read is what was written, and what was not written is not read.
    fn contents(&self, computes: bool) -> Outcome {
        let mut objects: BTreeMap<usize, (Contents, bool)> = BTreeMap::new();
        for (place, note) in self.log.iter().enumerate() {
            match note {
                Note::Command(command) => apply(&mut objects, command),
                Note::HostWrite { object, byte } => {
                    let (contents, _) = objects.entry(*object).or_insert_with(unknown);
                    contents[BLOCK..2 * BLOCK].fill(Some(*byte));
                }
                Note::HostRead { object, bytes } => {
                    let (contents, poisoned) = objects.entry(*object).or_insert_with(unknown);
                    if *poisoned {
                        let message = format!("BU-4: {place} reads {object}, whose writer failed");
                        return Err(message);
                    }
                    let differs = |&at: &usize| contents[at].is_some_and(|byte| byte != bytes[at]);
                    let wrong: Vec<usize> = (0..BYTES).filter(differs).collect();
                    if let (true, Some(&first), Some(last)) =
                        (computes, wrong.first(), wrong.last())
                    {
                        return Err(format!(
                            "SO-1, GR-9: {place} reads wrong bytes of {object}: {} from {first} to \
                             {last}, the first is {} and not {:?}",
                            wrong.len(),
                            bytes[first],
                            contents[first]
                        ));
                    }
                }
                Note::ReadPoisoned { object } if !is_poisoned(&objects, *object) => {
                    return Err(format!("BU-4: {object} is poisoned for no reason, at {place}"));
                }
                Note::Poisoned { objects: named }
                    if !named.iter().any(|object| is_poisoned(&objects, *object)) =>
                {
                    return Err(format!("BU-4: {place} was refused for no reason"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn unknown() -> (Contents, bool) {
    (vec![None; BYTES], false)
}

fn is_poisoned(objects: &BTreeMap<usize, (Contents, bool)>, object: usize) -> bool {
    objects.get(&object).is_some_and(|(_, poisoned)| *poisoned)
}

/// The objects that a command really names.
fn touched(command: &Command) -> impl Iterator<Item = usize> {
    let named = command.operations.iter().flat_map(|operation| operation.named());
    named.map(|operand| command.objects[operand])
}

/// What a command did: all of it, or something that nobody may look at.
fn apply(objects: &mut BTreeMap<usize, (Contents, bool)>, command: &Command) {
    for operation in &command.operations {
        let (operand, range) = operation.written();
        let mut operands: Vec<(Contents, bool)> = command
            .objects
            .iter()
            .map(|object| objects.get(object).cloned().unwrap_or_else(unknown))
            .collect();
        if is_well(command) {
            operands[operand].1 &= range.len() < BYTES;
            let mut contents: Vec<&mut Contents> =
                operands.iter_mut().map(|(contents, _)| contents).collect();
            operation.interpret(&mut contents);
        } else {
            operands[operand].1 = true;
            operands[operand].0[range].fill(None);
        }
        objects.insert(command.objects[operand], operands.swap_remove(operand));
    }
}
