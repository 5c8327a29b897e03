//! What is printed, and how.

use std::io::{self, IsTerminal, Read, Write};

use crate::Failure;
use crate::diagram::{Colour, Look};

/// Standard output, and what may be shown there.
pub(crate) struct Screen {
    pub(crate) look: Look,
    out: io::Stdout,
}

impl Screen {
    /// With colour where a person looks at it and did not ask for none.
    pub(crate) fn new(ascii: bool) -> Screen {
        let out = io::stdout();
        let colour = out.is_terminal() && colour_is_wanted();
        Screen {
            look: Look { colour, ascii },
            out,
        }
    }

    /// Text that brings its own newlines.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    pub(crate) fn heading(&mut self, text: &str) -> Result<(), Failure> {
        let line = self.look.paint(Colour::BOLD, text);
        self.say("")?;
        self.say(&line)?;
        self.say("")
    }

    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }

    /// Copies lines as they come, each set in by two columns.
    pub(crate) fn indented(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        let mut at_start = true;
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            for line in buffer
                .get(..count)
                .unwrap_or(&[])
                .split_inclusive(|byte| *byte == b'\n')
            {
                let blank = matches!(line, b"\n" | b"\r\n");
                self.out.write_all(if at_start && !blank { b"  " } else { b"" })?;
                self.out.write_all(line)?;
                at_start = line.ends_with(b"\n");
            }
            self.out.flush()?;
            if count == 0 {
                return if at_start { Ok(()) } else { self.say("") };
            }
        }
    }
}

/// <https://no-color.org>
fn colour_is_wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}
