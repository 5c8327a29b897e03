//! The program that talks over ustcp: told by its environment what to do, watched through its event log.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use ustcp_proto::Event;

use crate::Failure;
use crate::capture::{self, Record};
use crate::demo::{OUR_ADDRESS, Options, PEERS_ADDRESS, TUN};
use crate::screen::Screen;

/// The user's program, or where there is none this command once more as a client.
pub(crate) struct Program<'a> {
    pub(crate) options: &'a Options,
    /// Where its events go.
    pub(crate) log: PathBuf,
    /// Where its packets go, if anywhere.
    pub(crate) capture: Option<PathBuf>,
}

impl Program<'_> {
    /// Runs it to its end, which is that of TIME-WAIT, and shows what it prints.
    pub(crate) fn run(&self, screen: &mut Screen) -> Result<ExitStatus, Failure> {
        let mut child = self.spawn()?;
        if let Some(mut stdout) = child.stdout.take() {
            screen.indented(&mut stdout)?;
        }
        Ok(child.wait()?)
    }

    /// What its stack told; `None` where the stack never started.
    pub(crate) fn events(&self) -> Result<Option<Vec<Event>>, Failure> {
        let text = match std::fs::read_to_string(&self.log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        // A program that was killed may leave half a line behind.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let event = |line| serde_json::from_str(line).map_err(|error| Failure::new(format!("the event log: {error}")));
        lines.map(event).collect::<Result<_, _>>().map(Some)
    }

    /// What crossed its device; nothing where no capture was asked for or none could be made.
    pub(crate) fn records(&self) -> Vec<Record> {
        let file = self.capture.as_deref().and_then(|path| std::fs::read(path).ok());
        file.map_or_else(Vec::new, |file| capture::read(&file))
    }

    fn spawn(&self) -> Result<Child, Failure> {
        let mut command = self.command()?;
        command.stdout(Stdio::piped());
        for (name, value) in self.environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.spawn();
        let program = command.get_program().to_string_lossy();
        child.map_err(|error| Failure::new(format!("cannot run {program}: {error}")))
    }

    fn command(&self) -> io::Result<Command> {
        let Some((program, arguments)) = self.options.program.split_first() else {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("fetch").arg(format!("http://{PEERS_ADDRESS}/"));
            return Ok(command);
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }

    /// `None`: whatever the user has set would change what is shown.
    fn environment(&self) -> [(&'static str, Option<OsString>); 10] {
        let text = |text: &dyn ToString| Some(OsString::from(text.to_string()));
        [
            ("USTCP_TUN", text(&TUN)),
            ("USTCP_ADDRESS", text(&format!("{OUR_ADDRESS}/24"))),
            ("USTCP_PEER", text(&PEERS_ADDRESS)),
            ("USTCP_TIME_WAIT", text(&self.options.time_wait.as_secs_f64())),
            ("USTCP_SYSCTL", self.options.sysctls().map(OsString::from)),
            ("USTCP_EXIT_WAIT", text(&"closed")),
            ("USTCP_LOG", Some(self.log.clone().into())),
            (
                "USTCP_WEATHER",
                self.options.weather.as_ref().and_then(|weather| text(weather)),
            ),
            // In weather a super-segment is lost by packets; without offload each of them is seen.
            (
                "USTCP_OFFLOAD",
                self.options.weather.as_ref().and_then(|_| text(&"off")),
            ),
            ("USTCP_PCAP", self.capture.as_deref().map(whole_packets)),
        ]
    }
}

/// The capture at `path`. With a snap length of its own, digits behind a colon in the name are not taken for one.
fn whole_packets(path: &Path) -> OsString {
    let mut value = path.as_os_str().to_owned();
    value.push(":65535");
    value
}

impl fmt::Display for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.options.program.is_empty() {
            return f.write_str("the built-in client");
        }
        let words: Vec<_> = self.options.program.iter().map(|word| word.to_string_lossy()).collect();
        f.write_str(&words.join(" "))
    }
}
