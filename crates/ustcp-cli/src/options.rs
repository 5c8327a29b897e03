//! What an engine is asked to be: the options that `ustcp up` and `ustcp run` share.

mod destinations;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use ustcp_client::place::Place;
use ustcp_engine::Lifetime;
use ustcp_proto::Cidr;
use ustcp_runtime::{Settings, StartError};

use crate::listing::Engine;
use crate::nat;
use crate::{Failure, WRONG_USAGE, say};
use destinations::Destinations;

/// Which engine is meant.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Named {
    /// Which engine: a name among this user's, or its directory by an absolute path [default: $USTCP_ENGINE, else
    /// "default"]
    #[arg(long, value_name = "NAME")]
    pub(crate) engine: Option<OsString>,
}

/// An engine as it is asked for. Of its stack, what is not said here the environment says, by the variable of the same name.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "The engine, where it is started")]
pub(crate) struct EngineOptions {
    /// Name of the TUN device, 1 to 15 bytes; an existing one is used as it is [default: ustcp0]
    #[arg(long, value_name = "DEVICE", value_parser = of("USTCP_TUN"))]
    tun: Option<OsString>,

    /// The stack's addresses, IPv4 and IPv6, with the length of their prefix, several with commas [default: 10.77.0.2/24]
    #[arg(long, value_name = "CIDR", value_parser = of("USTCP_ADDRESS"))]
    address: Option<OsString>,

    /// The kernel's end of a device that is made, at most one address of each family [default: the lowest other host of
    /// the stack's network]
    #[arg(long, value_name = "ADDRESS", value_parser = of("USTCP_PEER"))]
    peer: Option<OsString>,

    /// Largest packet in bytes, 128 to 65535; IPv6 needs 1280 [default: the device's, 1500]
    #[arg(long, value_name = "BYTES", value_parser = of("USTCP_MTU"))]
    mtu: Option<OsString>,

    /// Segmentation and checksum offload: auto, on or off [default: auto]
    #[arg(long, value_name = "MODE", value_parser = of("USTCP_OFFLOAD"))]
    offload: Option<OsString>,

    /// Seconds that TIME-WAIT lasts, 0 to 3600, fractions allowed [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = of("USTCP_TIME_WAIT"))]
    time_wait: Option<OsString>,

    /// A knob of the stack by the name of Linux's sysctl, such as tcp_sack=0; may be given several times [default: none]
    #[arg(long, value_name = "NAME=VALUE", value_parser = of("USTCP_SYSCTL"))]
    sysctl: Vec<OsString>,

    /// Faults around the device, such as loss=3%,delay=10ms,seed=7 or drop=in:FIN#1; what stays within the stack, or is
    /// relayed, meets none [default: none]
    #[arg(long, value_name = "SPEC", value_parser = of("USTCP_WEATHER"))]
    weather: Option<OsString>,

    /// Packets into a pcapng file; FILE:BYTES keeps so many bytes of each, 64 to 65535 [default: none]
    #[arg(long, value_name = "FILE", value_parser = of("USTCP_PCAP"))]
    pcap: Option<OsString>,

    /// Events into a file of JSON lines; - is text on standard error, which in the background is the file `log` in the
    /// engine's directory [default: none]
    #[arg(long, value_name = "FILE", value_parser = of("USTCP_LOG"))]
    log: Option<OsString>,

    #[command(flatten)]
    pub(crate) destinations: Destinations,

    /// Forward the stack's IPv4 packets and masquerade them as this host's, so that the Internet is reached by our TCP;
    /// needs root and nft or iptables, and is taken back when the engine ends
    #[arg(long)]
    pub(crate) nat: bool,
}

impl EngineOptions {
    /// What was said, by the names of the variables.
    pub(crate) fn given(&self) -> Vec<(OsString, OsString)> {
        let sysctl = (!self.sysctl.is_empty()).then(|| self.sysctl.join(OsStr::new(",")));
        let told = [
            ("USTCP_TUN", &self.tun),
            ("USTCP_ADDRESS", &self.address),
            ("USTCP_PEER", &self.peer),
            ("USTCP_MTU", &self.mtu),
            ("USTCP_OFFLOAD", &self.offload),
            ("USTCP_TIME_WAIT", &self.time_wait),
            ("USTCP_SYSCTL", &sysctl),
            ("USTCP_WEATHER", &self.weather),
            ("USTCP_PCAP", &self.pcap),
            ("USTCP_LOG", &self.log),
        ];
        let said = told
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        said.map(|(name, value)| (name.into(), absolute(name, value))).collect()
    }

    /// Whether there can be settings of these options. What is ignored is not told.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        Settings::check(&self.given(), option_of).map_err(wrong)
    }

    /// The settings of an engine with these options in this environment. Tells what is ignored.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Settings::over_environment(&self.given(), option_of).map_err(wrong)
    }

    /// What an engine at `place` is told besides its settings.
    pub(crate) fn engine(&self, place: &Place, lifetime: Lifetime) -> ustcp_engine::Options {
        let mut options = ustcp_engine::Options::at(*place);
        options.lifetime = lifetime;
        self.destinations.tell(&mut options);
        options
    }

    /// The same once more, for another process of this command.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let given = self.given();
        let words = given.into_iter().map(|(name, value)| {
            let mut word = OsString::from(option_of(&name.to_string_lossy()));
            word.push("=");
            word.push(value);
            word
        });
        words
            .chain(self.destinations.arguments())
            .chain(self.nat.then(|| "--nat".into()))
            .collect()
    }

    /// For the engine itself, beside which somebody else forwards: by the stack it reaches `everything` then, unless it is
    /// told what.
    pub(crate) fn forwarded(&self, everything: Vec<Cidr>) -> EngineOptions {
        EngineOptions {
            nat: false,
            destinations: self.destinations.or_routes(|| everything),
            ..self.clone()
        }
    }

    /// Whether an engine can disagree.
    pub(crate) fn are_said(&self) -> bool {
        !self.given().is_empty() || self.destinations.are_said() || self.nat
    }

    /// The first option that a running engine does not agree with, and what it has instead.
    pub(crate) fn disagreement(&self, place: &Place, engine: &Engine) -> Option<String> {
        let variables = engine.variables.iter();
        let variables: Vec<_> = variables.map(|(name, value)| (name.into(), value.into())).collect();
        let nat = || (self.nat && !nat::is_set_up(place)).then(|| "without --nat".to_owned());
        self.disagreement_with(&variables)
            .or_else(|| self.destinations.disagreement(engine))
            .or_else(nat)
    }

    fn disagreement_with(&self, variables: &[(OsString, OsString)]) -> Option<String> {
        let settings = |variables: Vec<(OsString, OsString)>| Settings::from_variables(variables).0;
        let theirs = settings(variables.to_vec());
        self.given().into_iter().find_map(|(name, value)| {
            let others = variables.iter().filter(|(other, _)| *other != name).cloned();
            let ours = settings(others.chain([(name.clone(), value.clone())]).collect());
            let has = variables.iter().find(|(other, _)| *other == name);
            let has = has.map_or("none".into(), |(_, value)| value.to_string_lossy());
            let wanted = match value.is_empty() {
                true => "none".into(),
                false => value.to_string_lossy(),
            };
            let option = option_of(&name.to_string_lossy());
            (ours != theirs).then(|| format!("with {option} {has}, not {wanted}"))
        })
    }
}

fn wrong(error: StartError) -> Failure {
    Failure::new(error.message).with_status(WRONG_USAGE)
}

/// Tells of variables whose names are nearly ours, which nobody reads.
pub(crate) fn tell_of_misspelt_variables() {
    let names = std::env::vars_os().map(|(name, _)| name);
    for (name, meant) in ustcp_runtime::misspelt(names) {
        say(format_args!("{name} means nothing to ustcp; is {meant} meant?"));
    }
}

/// What the runtime says of a variable, in the words of who is told by options: `by --tun`.
pub(crate) fn by_options(message: &str) -> String {
    ["USTCP_TUN", "USTCP_ADDRESS"]
        .iter()
        .fold(message.to_owned(), |message, variable| {
            message.replace(variable, &option_of(variable))
        })
}

/// `--time-wait` of `USTCP_TIME_WAIT`.
fn option_of(variable: &str) -> String {
    let name = variable.strip_prefix("USTCP_").unwrap_or(variable);
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

/// A file of the engine's is where its name meant when it was given: the engine may be another directory's child.
fn absolute(variable: &str, value: &OsStr) -> OsString {
    let names_file = matches!(variable, "USTCP_PCAP" | "USTCP_LOG") && value != "-";
    let path = names_file
        .then(|| std::path::absolute(PathBuf::from(value)).ok())
        .flatten();
    path.map_or_else(|| value.to_owned(), PathBuf::into_os_string)
}

/// Reads an option as the variable of that name is read.
fn of(variable: &'static str) -> ValueParser {
    let parser = OsStringValueParser::new().try_map(move |value| {
        let (_, complaints) = Settings::from_variables([(variable.into(), value.clone())]);
        match complaints.first() {
            None => Ok(value),
            Some(malformed) => Err(malformed.allowed.clone()), // clap says the name and the value
        }
    });
    ValueParser::new(parser)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: EngineOptions,
    }

    fn parse(arguments: &[&str]) -> EngineOptions {
        let line = Line::try_parse_from([&["ustcp"], arguments].concat()).unwrap();
        line.options
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn every_option_is_the_variable_of_its_name() {
        let options = parse(&[
            "--tun=t",
            "--address=10.9.0.2/16",
            "--peer=10.9.0.9",
            "--mtu=9000",
            "--offload=on",
            "--time-wait=1.5",
            "--sysctl=tcp_sack=0",
            "--sysctl=tcp_ecn=1,tcp_dsack=0",
            "--weather=loss=3%",
            "--pcap=/p",
            "--log=/l",
        ]);
        let given = options.given();
        assert_eq!(given.len(), 10);
        let (settings, complaints) = Settings::from_variables(given.clone());
        assert_eq!(complaints, []);
        assert_eq!((settings.tun.as_str(), settings.mtu), ("t", Some(9000)));
        assert_eq!(settings.log, Some("/l".into()));
        assert_eq!(settings.sysctl.to_string(), "tcp_dsack=0,tcp_ecn=1,tcp_sack=0");
        for (name, _) in given {
            assert!(option_of(name.to_str().unwrap()).starts_with("--"), "{name:?}");
        }
        assert!(parse(&[]).given().is_empty());
    }

    #[test]
    fn what_the_variable_may_not_say_the_option_may_not_say() {
        for (option, value) in [
            ("--mtu", "9"),
            ("--time-wait", "soon"),
            ("--address", "10.0.0.0/8"),
            ("--weather", "rain=1%"),
            ("--sysctl", "tcp_sack=2"),
        ] {
            let error = Line::try_parse_from(["ustcp", option, value])
                .err()
                .unwrap()
                .to_string();
            assert!(
                error.contains(&format!("invalid value '{value}' for '{option}")),
                "{error}"
            );
            assert!(!error.contains("malformed"), "{error}");
        }
    }

    #[test]
    fn files_are_where_they_were_named() {
        let here = std::env::current_dir().unwrap();
        let given = parse(&["--pcap=x:100", "--log=-"]).given();
        assert_eq!(
            given,
            [
                ("USTCP_PCAP".into(), here.join("x:100").into_os_string()),
                ("USTCP_LOG".into(), "-".into()),
            ]
        );
    }

    #[test]
    fn an_engine_agrees_with_what_means_the_same() {
        let engine: Vec<(OsString, OsString)> = Settings::default()
            .variables()
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        let disagreement = |arguments: &[&str]| parse(arguments).disagreement_with(&engine);
        assert_eq!(disagreement(&[]), None);
        assert_eq!(
            disagreement(&["--time-wait=60.0", "--address=10.77.0.2/24", "--offload=auto"]),
            None
        );
        assert_eq!(
            (disagreement(&["--weather="]), disagreement(&["--weather=clear"])),
            (None, None)
        );
        assert_eq!(
            disagreement(&["--tun=ustcp0", "--time-wait=2"]).unwrap(),
            "with --time-wait 60, not 2"
        );
        assert_eq!(disagreement(&["--mtu=1400"]).unwrap(), "with --mtu none, not 1400");
        let stormy = variables(&[("USTCP_WEATHER", "loss=3%")]);
        assert_eq!(
            parse(&["--weather="]).disagreement_with(&stormy).unwrap(),
            "with --weather loss=3%, not none"
        );
        assert_eq!(
            parse(&["--mtu=1400"]).disagreement_with(&variables(&[("USTCP_MTU", "1400")])),
            None
        );
    }
}
