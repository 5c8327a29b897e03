//! [`Weather`] as text: what a user writes into `USTCP_WEATHER`.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use super::{Direction, PacketKind, ScriptedDrop, Weather};

const KEYS: &str = "loss, reorder, duplicate, corrupt, mark, delay, jitter, rate, queue, drop, seed";
const LONGEST: Duration = Duration::from_secs(60);
const RATES: core::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000;
const QUEUES: core::ops::RangeInclusive<u64> = 1..=1_000_000;
const DROPS: usize = 64;
const NTH: core::ops::RangeInclusive<u64> = 1..=1_000_000;

const TIME_UNITS: [(&str, u64); 3] = [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const RATE_UNITS: [(&str, u64); 4] = [
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("bit", 1),
];

impl FromStr for Weather {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes. The error says what is wrong and what is allowed.
    fn from_str(text: &str) -> Result<Weather, String> {
        let mut weather = Weather::default();
        if matches!(text.trim(), "" | "clear") {
            return Ok(weather);
        }
        let mut seen = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (key, value) = item.split_once('=').ok_or_else(|| {
                format!("weather: '{item}' is not name=value; the names are {KEYS}; no fault at all is 'clear'")
            })?;
            let (key, value) = (key.trim(), value.trim());
            if key != "drop" && seen.contains(&key) {
                return Err(format!("weather: {key} is given twice"));
            }
            seen.push(key);
            weather.set(key, value).map_err(|why| format!("weather: {why}"))?;
        }
        Ok(weather)
    }
}

impl Weather {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "loss" => self.loss = probability(key, value)?,
            "reorder" => self.reorder = probability(key, value)?,
            "duplicate" => self.duplicate = probability(key, value)?,
            "corrupt" => self.corrupt = probability(key, value)?,
            "mark" => self.mark = probability(key, value)?,
            "delay" => self.delay = duration(key, value)?,
            "jitter" => self.jitter = duration(key, value)?,
            "rate" => self.rate = Some(rate(value)?),
            "queue" => self.queue = Some(queue(value)?),
            "drop" if self.drops.len() < DROPS => self.drops.push(value.parse()?),
            "drop" => return Err(format!("more than {DROPS} drops")),
            "seed" => self.seed = seed(value)?,
            _ => return Err(format!("no fault is called '{key}'; the names are {KEYS}")),
        }
        Ok(())
    }
}

fn probability(key: &str, value: &str) -> Result<f64, String> {
    let problem = || format!("{key}={value}: give a share from 0% to 100%, such as 3% or 0.03");
    let (digits, whole) = match value.strip_suffix('%') {
        Some(digits) => (digits, 100.0),
        None => (value, 1.0),
    };
    // `f64` also reads "inf", "nan", signs and exponents, none of which is meant here.
    if !is_decimal(digits) {
        return Err(problem());
    }
    let share = digits.parse::<f64>().map_err(|_| problem())? / whole;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(problem())
    }
}

fn duration(key: &str, value: &str) -> Result<Duration, String> {
    measured(value, &TIME_UNITS)
        .or(if value == "0" { Some(0) } else { None })
        .map(Duration::from_nanos)
        .filter(|&time| time <= LONGEST)
        .ok_or_else(|| format!("{key}={value}: give a time up to {LONGEST:?} in us, ms or s, such as 10ms"))
}

fn rate(value: &str) -> Result<u64, String> {
    measured(value, &RATE_UNITS)
        .filter(|rate| RATES.contains(rate))
        .ok_or_else(|| format!("rate={value}: give 1kbit to 1000gbit a second, such as 100mbit"))
}

fn queue(value: &str) -> Result<usize, String> {
    let packets = value.parse().ok().filter(|packets| QUEUES.contains(packets));
    packets
        .and_then(|packets| usize::try_from(packets).ok())
        .ok_or_else(|| format!("queue={value}: give 1 to {} packets", QUEUES.end()))
}

fn seed(value: &str) -> Result<u64, String> {
    let parsed = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    parsed.map_err(|_| {
        format!(
            "seed={value}: give a number from 0 to {}, or 0x and hexadecimal digits",
            u64::MAX
        )
    })
}

impl FromStr for ScriptedDrop {
    type Err = String;

    fn from_str(text: &str) -> Result<ScriptedDrop, String> {
        let problem = || {
            let kinds = PacketKind::ALL.map(|kind| kind.to_string()).join(", ");
            format!(
                "drop={text}: give one of {kinds}, then # and which one from 1, such as FIN#1, in:FIN#1 or out:FIN#1"
            )
        };
        let (direction, rest) = match text.split_once(':') {
            Some(("in", rest)) => (Some(Direction::In), rest),
            Some(("out", rest)) => (Some(Direction::Out), rest),
            Some(_) => return Err(problem()),
            None => (None, text),
        };
        let (kind, nth) = rest.split_once('#').unwrap_or((rest, "1"));
        let named = |known: &PacketKind| known.to_string().eq_ignore_ascii_case(kind.trim());
        let kind = PacketKind::ALL.into_iter().find(named).ok_or_else(problem)?;
        let nth = nth
            .trim()
            .parse()
            .ok()
            .filter(|nth| NTH.contains(nth))
            .ok_or_else(problem)?;
        Ok(ScriptedDrop {
            direction,
            kind,
            nth: u32::try_from(nth).map_err(|_| problem())?,
        })
    }
}

fn is_decimal(digits: &str) -> bool {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().filter(|&byte| byte == b'.').count() <= 1
}

/// A decimal number with a unit, as a whole number of the smallest; what lies below that is cut off.
fn measured(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = value.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = value.split_at_checked(at)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let digits = digits.trim_end();
    if !is_decimal(digits) {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(*scale)?;
    let mut place = *scale;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(place * u64::from(digit - b'0'))?;
    }
    Some(total)
}

/// Only what is not as in clear weather, so that the text is short; reading it back gives the same weather.
impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        let shares = [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("mark", self.mark),
        ];
        items.extend(
            shares
                .iter()
                .filter(|(_, share)| *share != 0.0)
                .map(|(key, share)| format!("{key}={}", Share(*share))),
        );
        let times = [("delay", self.delay), ("jitter", self.jitter)];
        items.extend(
            times
                .iter()
                .filter(|(_, time)| !time.is_zero())
                .map(|(key, time)| format!("{key}={}", Time(*time))),
        );
        items.extend(self.rate.map(|rate| format!("rate={}", Rate(rate))));
        items.extend(self.queue.map(|packets| format!("queue={packets}")));
        items.extend(self.drops.iter().map(|drop| format!("drop={drop}")));
        items.extend((self.seed != 0).then(|| format!("seed={}", self.seed)));
        if items.is_empty() {
            return f.write_str("clear");
        }
        f.write_str(&items.join(","))
    }
}

struct Share(f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A percentage is what people write; the plain share is exact where the percentage would be rounded.
        let percent = self.0 * 100.0;
        #[allow(clippy::float_cmp, reason = "exactness is what is asked")]
        if percent / 100.0 == self.0 {
            write!(f, "{percent}%")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match (nanos % 1_000_000_000, nanos % 1_000_000, nanos % 1_000) {
            (0, _, _) => write!(f, "{}s", nanos / 1_000_000_000),
            (_, 0, _) => write!(f, "{}ms", nanos / 1_000_000),
            (_, _, 0) => write!(f, "{}us", nanos / 1_000),
            (_, _, rest) => write!(f, "{}.{rest:03}us", nanos / 1_000),
        }
    }
}

struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 % 1_000_000_000, self.0 % 1_000_000, self.0 % 1_000) {
            (0, _, _) => write!(f, "{}gbit", self.0 / 1_000_000_000),
            (_, 0, _) => write!(f, "{}mbit", self.0 / 1_000_000),
            (_, _, 0) => write!(f, "{}kbit", self.0 / 1_000),
            _ => write!(f, "{}bit", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn every_fault_is_read() {
        let text = "loss=3%, reorder=0.01,duplicate=1%,corrupt=0.1%,mark=2%,delay=10ms,jitter=1.5ms,rate=100mbit,queue=50,\
                    drop=FIN#1,drop=in:syn-ack#2,seed=0x10";
        let weather: Weather = text.parse().unwrap();
        let expected = Weather {
            loss: 0.03,
            reorder: 0.01,
            duplicate: 0.01,
            corrupt: 0.001,
            mark: 0.02,
            delay: Duration::from_millis(10),
            jitter: Duration::from_micros(1500),
            rate: Some(100_000_000),
            queue: Some(50),
            drops: vec![
                ScriptedDrop {
                    direction: None,
                    kind: PacketKind::Fin,
                    nth: 1,
                },
                ScriptedDrop {
                    direction: Some(Direction::In),
                    kind: PacketKind::SynAck,
                    nth: 2,
                },
            ],
            seed: 16,
        };
        assert_eq!(weather, expected);
    }

    #[test]
    fn clear_weather_has_a_name() {
        assert_eq!(Weather::default().to_string(), "clear");
        assert_eq!("clear".parse(), Ok(Weather::default()));
        assert_eq!("".parse(), Ok(Weather::default()));
    }

    #[test]
    fn text_is_as_people_write_it() {
        let text = "loss=3%,delay=10ms,rate=1500kbit,drop=out:FIN#1,seed=7";
        assert_eq!(text.parse::<Weather>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let mut rng = Rng::new(11);
        for _ in 0..2000 {
            let share = |rng: &mut Rng| {
                if rng.chance(0.5) {
                    0.0
                } else {
                    rng.below(1 << 30) as f64 / (1 << 30) as f64
                }
            };
            let time = |rng: &mut Rng| Duration::from_nanos(rng.below(60_000_000_000) >> rng.below(40));
            let weather = Weather {
                loss: share(&mut rng),
                reorder: share(&mut rng),
                duplicate: share(&mut rng),
                corrupt: share(&mut rng),
                mark: share(&mut rng),
                delay: time(&mut rng),
                jitter: time(&mut rng),
                rate: rng.chance(0.5).then(|| 1000 + (rng.below(1 << 39) >> rng.below(30))),
                queue: rng.chance(0.5).then(|| rng.size_within(1..=1_000_000)),
                drops: (0..rng.below(4))
                    .map(|_| ScriptedDrop {
                        direction: rng.one_of(&[None, Some(Direction::In), Some(Direction::Out)]),
                        kind: rng.one_of(&PacketKind::ALL),
                        nth: 1 + rng.below(9) as u32,
                    })
                    .collect(),
                seed: rng.bits(),
            };
            let text = weather.to_string();
            assert_eq!(text.parse(), Ok(weather), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let cases = [
            ("los=3%", "no fault is called 'los'"),
            ("loss", "not name=value"),
            ("loss=3%,", "not name=value"),
            ("loss=3", "from 0% to 100%"),
            ("loss=101%", "from 0% to 100%"),
            ("loss=-1%", "from 0% to 100%"),
            ("loss=nan", "from 0% to 100%"),
            ("loss=1e-3", "from 0% to 100%"),
            ("loss=%", "from 0% to 100%"),
            ("loss=.%", "from 0% to 100%"),
            ("loss=1%,loss=2%", "given twice"),
            ("delay=10", "us, ms or s"),
            ("delay=ms", "us, ms or s"),
            ("delay=61s", "up to 60s"),
            ("delay=99999999999999999999s", "us, ms or s"),
            ("jitter=1h", "us, ms or s"),
            ("rate=0mbit", "1kbit to 1000gbit"),
            ("rate=2000gbit", "1kbit to 1000gbit"),
            ("rate=100", "1kbit to 1000gbit"),
            ("queue=0", "1 to 1000000 packets"),
            ("drop=FON#1", "SYN, SYN-ACK, FIN, RST, ACK, DATA"),
            ("drop=FIN#0", "from 1"),
            ("drop=up:FIN#1", "in:FIN#1 or out:FIN#1"),
            ("seed=x", "hexadecimal"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Weather>().expect_err(text);
            assert!(
                error.starts_with("weather: ") && error.contains(part),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn drops_are_bounded_in_number() {
        let text = vec!["drop=FIN#1"; 65].join(",");
        assert_eq!(text.parse::<Weather>(), Err("weather: more than 64 drops".into()));
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let alphabet: Vec<char> = "loss=3%.,delay:FIN#1msug bitrate€0x9-".chars().collect();
        let mut rng = Rng::new(5);
        for _ in 0..20_000 {
            let text: String = (0..rng.below(24)).map(|_| rng.one_of(&alphabet)).collect();
            let key = rng.one_of(&["", "loss=", "delay=", "rate=", "drop=", "seed=", "queue="]);
            let _ = format!("{key}{text}").parse::<Weather>();
        }
    }

    #[test]
    fn a_drop_may_be_for_one_direction() {
        let weather: Weather = "loss=1%,drop=FIN#1,drop=in:SYN#1,drop=out:RST#2,seed=3"
            .parse()
            .unwrap();
        assert_eq!(
            weather.outgoing().to_string(),
            "loss=1%,drop=FIN#1,drop=out:RST#2,seed=3"
        );
        let incoming = weather.incoming();
        assert_eq!(incoming.drops.len(), 2);
        assert_ne!(incoming.seed, weather.seed, "the directions draw for themselves");
    }
}
