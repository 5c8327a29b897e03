//! Engines that make way for others: one that `ustcp run` has started and that stays for TIME-WAIT alone.

use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use ustcp_client::place::Place;
use ustcp_client::protocol::Operation;

use crate::control::{self, Control, NoControl};
use crate::{Failure, down};

/// How long the programs and connections of another engine may take to be gone, on a machine that has much to do.
pub(crate) const MOMENT: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Has the engine at `place` make way, if it may. What has just ended there is given a moment. Whether it is gone, or about to
/// go.
pub(crate) fn make(place: &Place) -> Result<bool, Failure> {
    let control = match Control::open(place) {
        Ok(control) => control,
        Err(NoControl::NoEngine) => return Ok(true),
        Err(NoControl::Unusable(_)) => return Ok(false), // whoever starts another is told why
    };
    let (process, begun) = (control.process(), Instant::now());
    loop {
        match control.ask(Operation::MakeWay, 0) {
            Ok(_) => return down::see_out(place, &control, process).map(|()| true),
            Err(Errno::BUSY) if begun.elapsed() < MOMENT => thread::sleep(PAUSE),
            Err(Errno::AGAIN) => return Err(control::unanswered(place, &Errno::AGAIN.into()).into_failure(place)),
            Err(errno) => return Ok(control::has_ended(&errno.into())),
        }
    }
}
