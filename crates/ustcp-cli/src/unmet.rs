//! What the weather was to lose by name, and what never came by.

use ustcp_sim::{Direction, ScriptedDrop, Weather};

use crate::segment::Segment;

/// The drops that no packet met, of those that left us and those that were on their way to us.
pub(crate) fn unmet<'a>(weather: &'a Weather, ours: &[Segment], theirs: &[Segment]) -> Vec<&'a ScriptedDrop> {
    let is_met = |drop: &ScriptedDrop| {
        let ways = [(Direction::Out, ours), (Direction::In, theirs)];
        ways.into_iter()
            .any(|(way, segments)| drop.direction.is_none_or(|only| only == way) && reaches(drop, segments))
    };
    weather.drops.iter().filter(|drop| !is_met(drop)).collect()
}

fn reaches(drop: &ScriptedDrop, segments: &[Segment]) -> bool {
    let is_named = |segment: &&Segment| drop.kind.names(segment.flags, segment.len as usize);
    segments.iter().filter(is_named).count() >= drop.nth as usize
}
