//! The rules that masquerade, by nft(8) or iptables(8).

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Masquerade for what comes from the stack's networks and leaves by another device.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    tool: Tool,
    device: String,
    networks: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Tool {
    Nft,
    Iptables,
}

impl Rules {
    /// By the tool that works on this host; where neither does, what it says is to be told.
    pub(super) fn new(device: &str, networks: Vec<String>) -> Result<Rules, Failure> {
        let works = |program: &str, look: &[&str]| {
            let mut command = Command::new(program);
            command.args(look).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().ok().map(|status| status.success())
        };
        let nft = works("nft", &["list", "tables"]);
        // Asked only where nft does not do: it loads modules, and waits for others of its kind.
        let iptables = || works("iptables", &["-w", "-t", "nat", "-S", "POSTROUTING"]);
        let tool = match nft {
            Some(true) => Tool::Nft,
            Some(false) if iptables() == Some(true) => Tool::Iptables,
            Some(false) => Tool::Nft,
            None if iptables().is_some() => Tool::Iptables,
            None => {
                let message = "--nat needs nft or iptables, and neither is here: sudo apt-get install nftables";
                return Err(Failure::new(message));
            }
        };
        Ok(Rules {
            tool,
            device: device.to_owned(),
            networks,
        })
    }

    pub(super) fn add(&self) -> Result<(), Failure> {
        match self.tool {
            Tool::Nft => {
                let table = self.table();
                // Added and deleted, so that one that is left over is no failure.
                let fresh = format!("add table ip {table}\ndelete table ip {table}\n");
                nft(&(fresh + &self.script()))
            }
            Tool::Iptables => self
                .networks
                .iter()
                .try_for_each(|network| self.iptables_must("-A", network)),
        }
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        match self.tool {
            Tool::Nft => {
                let table = self.table();
                nft(&format!("add table ip {table}\ndelete table ip {table}\n"))
            }
            Tool::Iptables => self.networks.iter().try_for_each(|network| {
                let found = self.iptables("-C", network)?;
                match found.status.code() {
                    Some(1) => Ok(()), // there is none
                    _ => succeeded("iptables", &found).and_then(|()| self.iptables_must("-D", network)),
                }
            }),
        }
    }

    /// A table of our own. In its name no character has a meaning in nft's language.
    fn table(&self) -> String {
        let plain = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        };
        format!("ustcp_{}", self.device.bytes().map(plain).collect::<String>())
    }

    fn script(&self) -> String {
        let (table, device, networks) = (self.table(), &self.device, self.networks.join(", "));
        format!(
            "table ip {table} {{\n\
             \x20 chain postrouting {{\n\
             \x20   type nat hook postrouting priority 100;\n\
             \x20   ip saddr {{ {networks} }} oifname != \"{device}\" masquerade\n\
             \x20 }}\n\
             }}\n"
        )
    }

    fn iptables_must(&self, what: &str, network: &str) -> Result<(), Failure> {
        succeeded("iptables", &self.iptables(what, network)?)
    }

    fn iptables(&self, what: &str, network: &str) -> io::Result<Output> {
        let mut command = Command::new("iptables");
        command.args([
            "-w",
            "-t",
            "nat",
            what,
            "POSTROUTING",
            "-s",
            network,
            "!",
            "-o",
            &self.device,
        ]);
        command
            .args(["-m", "comment", "--comment", "ustcp", "-j", "MASQUERADE"])
            .stdin(Stdio::null());
        command.output()
    }
}

fn nft(script: &str) -> Result<(), Failure> {
    let mut command = Command::new("nft");
    command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(script.as_bytes()); // one that does not read it says why
    }
    succeeded("nft", &child.wait_with_output()?)
}

fn succeeded(tool: &str, output: &Output) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = io::Error::other(format!("--nat: {tool}: {}", said.trim()));
    Err(Failure::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_names_of_tables() {
        let rules = |device: &str| Rules {
            tool: Tool::Nft,
            device: device.to_owned(),
            networks: vec!["10.77.0.2/24".to_owned(), "10.9.0.2/16".to_owned()],
        };
        assert_eq!(rules("ustcp0").table(), "ustcp_ustcp0");
        assert_eq!(rules("my-tun_1.0").table(), "ustcp_my_2dtun_5f1_2e0");
        let script = rules("my-tun").script();
        assert!(
            script.contains("saddr { 10.77.0.2/24, 10.9.0.2/16 } oifname != \"my-tun\" masquerade"),
            "{script}"
        );
    }
}
