//! The stack judged by what goes over the wire and what its user sees, written as traces: `peer` is a segment that the
//! scripted peer sends, `sees` the next one of ours, `after` the time that passes between.

#[cfg(test)]
mod ack;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod autotune;
#[cfg(test)]
mod bind;
#[cfg(test)]
mod close;
#[cfg(test)]
mod congestion;
#[cfg(test)]
mod congestion_choice;
#[cfg(test)]
mod copies;
mod cork;
#[cfg(test)]
mod defer_accept;
#[cfg(test)]
mod delayed_ack;
#[cfg(test)]
mod device_down;
#[cfg(test)]
mod disconnect;
#[cfg(test)]
mod dsack;
#[cfg(test)]
mod dual_stack;
#[cfg(test)]
mod ecn;
#[cfg(test)]
mod fast_open;
#[cfg(test)]
mod habits;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod icmp_sent;
#[cfg(test)]
mod icmpv6;
#[cfg(test)]
mod info;
#[cfg(test)]
mod ip;
#[cfg(test)]
mod ipv6;
#[cfg(test)]
mod isn;
#[cfg(test)]
mod keepalive;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod low_water;
#[cfg(test)]
mod mtu_probing;
#[cfg(test)]
mod nagle;
#[cfg(test)]
mod offload;
#[cfg(test)]
mod options;
mod overview;
#[cfg(test)]
mod rack;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod reassembly;
#[cfg(test)]
mod reneging;
#[cfg(test)]
mod reset;
#[cfg(test)]
mod retransmission;
mod reuse_port;
#[cfg(test)]
mod saved_syn;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod service;
#[cfg(test)]
mod share;
#[cfg(test)]
mod state_table;
#[cfg(test)]
mod syn_cookies;
#[cfg(test)]
mod tail_probe;
#[cfg(test)]
mod time_wait;
#[cfg(test)]
mod time_wait_reuse;
#[cfg(test)]
mod timestamps;
#[cfg(test)]
mod transparent;
#[cfg(test)]
mod undo;
#[cfg(test)]
mod urgent;
#[cfg(test)]
mod user_timeout;
#[cfg(test)]
mod window;
#[cfg(test)]
mod wire;
