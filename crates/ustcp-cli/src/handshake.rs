//! How a process that is started to be an engine tells its parent whether it is one: over its standard output, which is a
//! pipe until then.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};

use ustcp_runtime::StartError;

use crate::Failure;

/// What is written where all is well.
const READY: &str = "ready\n";

/// Why there is no engine.
#[derive(Debug)]
pub(crate) struct NotStarted {
    /// 0 where it is of no system call's making.
    pub(crate) errno: i32,
    pub(crate) message: String,
}

impl From<StartError> for NotStarted {
    fn from(error: StartError) -> NotStarted {
        NotStarted {
            errno: error.errno.0,
            message: error.message,
        }
    }
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> NotStarted {
        NotStarted {
            errno: 0,
            message: failure.to_string(),
        }
    }
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted {
            errno: error.raw_os_error().unwrap_or(0),
            message: error.to_string(),
        }
    }
}

impl From<NotStarted> for Failure {
    fn from(why: NotStarted) -> Failure {
        Failure::new(why.message)
    }
}

/// Tells the parent, who then hears no more of us: standard output is closed to it.
pub(crate) fn report(outcome: Result<(), &NotStarted>) {
    let text = match outcome {
        Ok(()) => READY.to_owned(),
        Err(NotStarted { errno, message }) => format!("{errno} {message}"),
    };
    // A parent that is gone has no use for an answer.
    let _ = io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush());
    if let Ok(nowhere) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&nowhere);
    }
}

/// What the child tells; waits for it.
pub(crate) fn hear(mut pipe: PipeReader) -> Result<(), NotStarted> {
    let mut told = String::new();
    pipe.read_to_string(&mut told)?;
    if told == READY {
        return Ok(());
    }
    let (errno, message) = told
        .split_once(' ')
        .unwrap_or(("0", "the engine ended before it was ready"));
    Err(NotStarted {
        errno: errno.parse().unwrap_or(0),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(told: &str) -> Result<(), (i32, String)> {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(told.as_bytes()).unwrap();
        drop(writer);
        hear(reader).map_err(|why| (why.errno, why.message))
    }

    #[test]
    fn what_the_child_tells_is_heard() {
        assert_eq!(heard(READY), Ok(()));
        assert_eq!(
            heard("1 no permission to make ustcp0:\nsudo ip tuntap"),
            Err((1, "no permission to make ustcp0:\nsudo ip tuntap".to_owned()))
        );
        for killed in ["", "rea"] {
            assert_eq!(
                heard(killed),
                Err((0, "the engine ended before it was ready".to_owned()))
            );
        }
    }
}
