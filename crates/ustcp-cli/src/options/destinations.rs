//! Where connections go: what an engine is asked to do besides being a stack.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::IpAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use ustcp_engine::Loopback;
use ustcp_proto::Cidr;

use crate::listing::Engine;

/// By the stack, by the kernel's TCP, or not at all.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Destinations {
    /// A network that is reached by the stack, besides those of its addresses; may be given several times [default: none;
    /// with --nat everything]. What nothing routes goes by the kernel's TCP
    #[arg(long = "route", value_name = "CIDR", value_parser = network)]
    routes: Vec<Cidr>,

    /// Where connections to 127.0.0.0/8, ::1 and this host's own addresses go: relay (the engine makes them with the
    /// kernel's TCP), ustcp (they stay inside the stack), refuse (nowhere) [default: relay]
    #[arg(long, value_name = "WHERE", value_parser = loopback(), hide_possible_values = true)]
    loopback: Option<Loopback>,

    /// Who listens on 0.0.0.0 or :: listens on the kernel's TCP too
    #[arg(long)]
    publish: bool,
}

impl Destinations {
    /// Writes them into what an engine is told.
    pub(crate) fn tell(&self, options: &mut ustcp_engine::Options) {
        options.routes.clone_from(&self.routes);
        options.loopback = self.loopback.unwrap_or_default();
        options.publish = self.publish;
    }

    /// The same as words of a command line.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let routes = self.routes.iter().map(|route| format!("--route={route}"));
        let loopback = self.loopback.map(|place| format!("--loopback={}", place.name()));
        let publish = self.publish.then(|| "--publish".to_owned());
        routes.chain(loopback).chain(publish).map(OsString::from)
    }

    pub(crate) fn are_said(&self) -> bool {
        !self.routes.is_empty() || self.loopback.is_some() || self.publish
    }

    /// Whether the kernel's TCP was asked for by name where a socket is relayed for this reason, which is one of the engine's.
    pub(crate) fn ask_for_relay(&self, why: &str) -> bool {
        let relays = self.loopback == Some(Loopback::Relay);
        match why {
            "loopback" => relays,
            "host" => relays || self.publish,
            _ => false,
        }
    }

    /// With these routes, where none is named.
    pub(crate) fn or_routes(&self, routes: impl FnOnce() -> Vec<Cidr>) -> Destinations {
        let named = self.clone();
        match named.routes.is_empty() {
            true => Destinations {
                routes: routes(),
                ..named
            },
            false => named,
        }
    }

    /// The first that a running engine does not agree with, and what it has instead.
    pub(crate) fn disagreement(&self, engine: &Engine) -> Option<String> {
        let asked: BTreeSet<String> = self.routes.iter().map(ToString::to_string).collect();
        let theirs: BTreeSet<String> = engine.routes.iter().cloned().collect();
        if !asked.is_empty() && asked != theirs {
            return Some(format!("with --route {}, not {}", listed(&theirs), listed(&asked)));
        }
        let loopback = self.loopback.map(Loopback::name);
        if let Some(asked) = loopback.filter(|asked| *asked != engine.loopback) {
            return Some(format!("with --loopback {}, not {asked}", engine.loopback));
        }
        (self.publish && !engine.publish).then(|| "without --publish".to_owned())
    }
}

fn listed(routes: &BTreeSet<String>) -> String {
    match routes.is_empty() {
        true => "none".to_owned(),
        false => routes.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
    }
}

fn loopback() -> ValueParser {
    let names = PossibleValuesParser::new(Loopback::ALL.map(Loopback::name));
    ValueParser::new(names.map(|name| {
        let named = Loopback::ALL.into_iter().find(|place| place.name() == name);
        named.unwrap_or_default() // it is one of the names
    }))
}

/// A network as ip-route(8) writes it, with the bits of its hosts taken off.
fn network(text: &str) -> Result<Cidr, String> {
    let allowed = || "a network, with the length of its prefix, as 10.0.0.0/8 or 2000::/3".to_owned();
    let (address, prefix) = text.split_once('/').ok_or_else(allowed)?;
    let address: IpAddr = address.parse().map_err(|_| allowed())?;
    let prefix: u8 = prefix.parse().map_err(|_| allowed())?;
    let hosts = |width: u8| width.checked_sub(prefix).map(u32::from).ok_or_else(allowed);
    let address = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(hosts(32)?).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(hosts(128)?).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    };
    Ok(Cidr { address, prefix })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::listing::Lifetime;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        destinations: Destinations,
    }

    fn parse(arguments: &[&str]) -> Destinations {
        let line = Line::try_parse_from([&["ustcp"], arguments].concat()).unwrap();
        line.destinations
    }

    fn engine(routes: &[&str], loopback: &str, publish: bool) -> Engine {
        Engine {
            pid: 1,
            lifetime: Lifetime::Stopped,
            variables: [].into(),
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
            loopback: loopback.to_owned(),
            publish,
        }
    }

    #[test]
    fn what_is_relayed_unasked_has_escaped() {
        let asked =
            |arguments: &[&str]| ["loopback", "host", "no route"].map(|why| parse(arguments).ask_for_relay(why));
        assert_eq!(asked(&[]), [false; 3]);
        assert_eq!(asked(&["--loopback=relay"]), [true, true, false]);
        assert_eq!(asked(&["--loopback=ustcp", "--publish"]), [false, true, false]);
    }

    #[test]
    fn networks_have_no_bits_of_hosts() {
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("2001:db8:1::5/48", "2001:db8:1::/48"),
            ("1::/0", "::/0"),
        ] {
            assert_eq!(self::network(text).unwrap().to_string(), network);
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "ten/8", "10.0.0.0/-1", ""] {
            assert!(self::network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn another_process_is_told_the_same() {
        let said = ["--route=10.0.0.0/8", "--route=::/0", "--loopback=refuse", "--publish"];
        assert_eq!(parse(&said).arguments().collect::<Vec<_>>(), said);
        assert!(parse(&said).are_said());
        assert_eq!(parse(&[]).arguments().count(), 0);
        assert!(!parse(&[]).are_said());
    }

    #[test]
    fn a_route_that_is_named_is_no_default() {
        let everything = || vec![network("0.0.0.0/0").unwrap()];
        let routes = |said: &[&str]| parse(said).or_routes(everything).routes;
        assert_eq!(routes(&[]), everything());
        assert_eq!(routes(&["--route=10.0.0.0/8"]), [network("10.0.0.0/8").unwrap()]);
    }

    #[test]
    fn an_engine_agrees_with_what_it_has() {
        let has = engine(&["10.0.0.0/8", "::/0"], "ustcp", true);
        for said in [
            &[][..],
            &["--loopback=ustcp"],
            &["--publish"],
            &["--route=::/0", "--route=10.9.9.9/8"],
        ] {
            assert_eq!(parse(said).disagreement(&has), None, "{said:?}");
        }
        for (said, told) in [
            ("--loopback=relay", "with --loopback ustcp, not relay"),
            ("--route=::/0", "with --route 10.0.0.0/8 ::/0, not ::/0"),
        ] {
            assert_eq!(parse(&[said]).disagreement(&has).unwrap(), told);
        }
        let none = engine(&[], "relay", false);
        let told = |said: &str| parse(&[said]).disagreement(&none).unwrap();
        assert_eq!(told("--route=::/0"), "with --route none, not ::/0");
        assert_eq!(told("--publish"), "without --publish");
    }
}
