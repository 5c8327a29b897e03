use super::*;

fn after(name: &str, value: &str) -> Result<String, Errno> {
    let mut config = Config::default();
    set(&mut config, name, value)?;
    tell(&config, name)
}

#[test]
fn what_is_told_can_be_set_again() {
    for name in names() {
        let told = tell(&Config::default(), name).unwrap();
        if name == "address" {
            assert_eq!(told, "", "a stack begins without addresses");
        } else {
            assert_eq!(after(name, &told), Ok(told), "{name}");
        }
    }
}

#[test]
fn each_kind_of_value_has_its_form_and_its_limits() {
    const EINVAL: Result<&str, i32> = Err(libc::EINVAL);
    let table = [
        ("trace", "1", Ok("1")),
        ("trace", "2", EINVAL),
        ("tcp_syn_retries", "4", Ok("4")),
        ("tcp_syn_retries", " 4\n", Ok("4")), // as echo writes it
        ("tcp_syn_retries", "256", EINVAL),
        ("tcp_syn_retries", "+4", EINVAL),
        ("tcp_syn_retries", "-1", EINVAL),
        ("tcp_syn_retries", "", EINVAL),
        ("ip_default_ttl", "0", EINVAL),
        ("ip_default_ttl", "255", Ok("255")),
        ("tcp_ecn", "1", Ok("1")),
        ("tcp_ecn", "3", EINVAL),
        ("tcp_rmem", "4096 131072 6291456", Ok("4096\t131072\t6291456")),
        ("tcp_rmem", "4096 131072", EINVAL),
        ("tcp_rmem", "4096 131072 131071", EINVAL),
        ("tcp_wmem", "4096\t16384\t4194304", Ok("4096\t16384\t4194304")),
        ("tcp_wmem", "4096 16384 4194304 1", EINVAL),
        ("initcwnd", "0", EINVAL),
        ("initcwnd", "32", Ok("32")),
        ("mtu", "127", EINVAL),
        ("mtu", "9000", Ok("9000")),
        ("mtu", "65536", EINVAL),
        ("tcp_fin_timeout", "30", Ok("30")),
        ("tcp_fin_timeout", "86401", EINVAL),
        ("tcp_fin_timeout", "18446744073709551616", EINVAL),
        ("tcp_rto_min_us", "5000", Ok("5000")),
        ("tcp_rto_max_ms", "60000", Ok("60000")),
        ("ip_local_port_range", "40000 40100", Ok("40000\t40100")),
        ("ip_local_port_range", "40000\t40000", Ok("40000\t40000")),
        ("ip_local_port_range", "40100 40000", EINVAL),
        ("ip_local_port_range", "0 40000", EINVAL),
        ("ip_local_port_range", "40000", EINVAL),
        ("tcp_congestion_control", "bbr", Ok("bbr")),
        ("tcp_congestion_control", "vegas", EINVAL),
        ("address", "10.77.0.2/24, fd77::2/64", Ok("10.77.0.2/24,fd77::2/64")),
        ("address", "10.77.0.0/24", EINVAL),
        ("tcp_tw_reuse", "1", Ok("1")),
        ("tcp_tw_reuse", "3", EINVAL),
        ("tcp_no_such_thing", "1", Err(libc::ENOENT)),
    ];
    for (name, value, told) in table {
        assert_eq!(
            after(name, value),
            told.map(str::to_owned).map_err(Errno),
            "{name} = {value:?}"
        );
    }
}

#[test]
fn every_knob_is_in_the_manual() {
    let manual = include_str!("../../../../docs/manual.md");
    for name in names() {
        assert!(
            manual.contains(&format!("`{name}`")),
            "{name} is missing in docs/manual.md"
        );
    }
}

#[test]
fn no_two_knobs_have_the_same_name() {
    let mut all: Vec<&str> = names().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}
