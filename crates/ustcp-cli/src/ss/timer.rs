//! `timer:(keepalive,1min,0)`: which timer runs, when it goes off, and how often it has.

use crate::listing::Timer;

pub(super) fn text(timer: &Timer) -> String {
    format!("timer:({},{},{})", timer.name, time(timer.milliseconds), timer.count)
}

/// The smaller units only where they still count: seconds under ten minutes, milliseconds under ten seconds.
fn time(milliseconds: u64) -> String {
    let (minutes, seconds, milliseconds) = (milliseconds / 60_000, milliseconds / 1000 % 60, milliseconds % 1000);
    let seconds = if minutes > 9 { 0 } else { seconds };
    let milliseconds = if minutes > 0 || seconds > 9 { 0 } else { milliseconds };
    let mut text = String::new();
    if minutes > 0 {
        text.push_str(&format!("{minutes}min"));
    }
    if seconds > 0 {
        let unit = if milliseconds > 0 { "." } else { "sec" };
        text.push_str(&format!("{seconds}{unit}"));
    }
    if milliseconds > 0 {
        text.push_str(&format!("{milliseconds:03}ms"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_ss_writes_them() {
        let table = [
            (200, "200ms"),
            (7, "007ms"),
            (2928, "2.928ms"),
            (9000, "9sec"),
            (55_500, "55sec"),
            (60_000, "1min"),
            (90_001, "1min30sec"),
            (7_199_999, "119min"),
            (0, ""),
        ];
        for (milliseconds, text) in table {
            assert_eq!(time(milliseconds), text);
        }
        let timer = Timer {
            name: "on".to_owned(),
            milliseconds: 204,
            count: 2,
        };
        assert_eq!(super::text(&timer), "timer:(on,204ms,2)");
    }
}
