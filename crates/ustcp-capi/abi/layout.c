/* The layouts that programs are compiled against. A line here is never changed, only added.
 *
 * struct ustcp_config, ustcp_packet and ustcp_event are ours; crates/ustcp-runtime/src/tcp_info.rs writes struct tcp_info at these offsets. */
#include <linux/tcp.h>
#include <stddef.h>

#include "ustcp.h"

#define AT(type, member, offset, bytes)                                                                                \
    _Static_assert(offsetof(struct type, member) == (offset), #type "." #member " moved");                             \
    _Static_assert(sizeof(((struct type *)0)->member) == (bytes), #type "." #member " changed its size")

_Static_assert(sizeof(struct ustcp_config) == 96, "struct ustcp_config changed its size");
AT(ustcp_config, size, 0, 8);
AT(ustcp_config, tun, 8, 8);
AT(ustcp_config, address, 16, 8);
AT(ustcp_config, peer, 24, 8);
AT(ustcp_config, offload, 32, 8);
AT(ustcp_config, weather, 40, 8);
AT(ustcp_config, log, 48, 8);
AT(ustcp_config, pcap, 56, 8);
AT(ustcp_config, tun_fd, 64, 4);
AT(ustcp_config, mtu, 68, 4);
AT(ustcp_config, time_wait_ms, 72, 4);
AT(ustcp_config, exit_wait_ms, 76, 4);
AT(ustcp_config, congestion, 80, 8);
AT(ustcp_config, sysctl, 88, 8);

_Static_assert(sizeof(struct ustcp_packet) == 32, "struct ustcp_packet changed its size");
AT(ustcp_packet, size, 0, 8);
AT(ustcp_packet, length, 8, 8);
AT(ustcp_packet, time, 16, 8);
AT(ustcp_packet, segment_size, 24, 4);
AT(ustcp_packet, checksum_start, 28, 4);

_Static_assert(sizeof(struct ustcp_event) == 344, "struct ustcp_event changed its size");
AT(ustcp_event, size, 0, 8);
AT(ustcp_event, time, 8, 8);
AT(ustcp_event, kind, 16, 4);
AT(ustcp_event, before, 20, 4);
AT(ustcp_event, after, 24, 4);
AT(ustcp_event, retransmission, 28, 4);
AT(ustcp_event, seq, 32, 4);
AT(ustcp_event, ack, 36, 4);
AT(ustcp_event, length, 40, 4);
AT(ustcp_event, window, 44, 4);
AT(ustcp_event, flags, 48, 4);
AT(ustcp_event, segment_size, 52, 4);
AT(ustcp_event, why, 56, 32);
AT(ustcp_event, local, 88, 128);
AT(ustcp_event, remote, 216, 128);

AT(tcp_info, tcpi_state, 0, 1);
AT(tcp_info, tcpi_ca_state, 1, 1);
AT(tcp_info, tcpi_retransmits, 2, 1);
AT(tcp_info, tcpi_probes, 3, 1);
AT(tcp_info, tcpi_backoff, 4, 1);
AT(tcp_info, tcpi_options, 5, 1);
AT(tcp_info, tcpi_rto, 8, 4);
AT(tcp_info, tcpi_ato, 12, 4);
AT(tcp_info, tcpi_snd_mss, 16, 4);
AT(tcp_info, tcpi_rcv_mss, 20, 4);
AT(tcp_info, tcpi_unacked, 24, 4);
AT(tcp_info, tcpi_sacked, 28, 4);
AT(tcp_info, tcpi_lost, 32, 4);
AT(tcp_info, tcpi_retrans, 36, 4);
AT(tcp_info, tcpi_fackets, 40, 4);
AT(tcp_info, tcpi_last_data_sent, 44, 4);
AT(tcp_info, tcpi_last_ack_sent, 48, 4);
AT(tcp_info, tcpi_last_data_recv, 52, 4);
AT(tcp_info, tcpi_last_ack_recv, 56, 4);
AT(tcp_info, tcpi_pmtu, 60, 4);
AT(tcp_info, tcpi_rcv_ssthresh, 64, 4);
AT(tcp_info, tcpi_rtt, 68, 4);
AT(tcp_info, tcpi_rttvar, 72, 4);
AT(tcp_info, tcpi_snd_ssthresh, 76, 4);
AT(tcp_info, tcpi_snd_cwnd, 80, 4);
AT(tcp_info, tcpi_advmss, 84, 4);
AT(tcp_info, tcpi_reordering, 88, 4);
AT(tcp_info, tcpi_rcv_rtt, 92, 4);
AT(tcp_info, tcpi_rcv_space, 96, 4);
AT(tcp_info, tcpi_total_retrans, 100, 4);
AT(tcp_info, tcpi_pacing_rate, 104, 8);
AT(tcp_info, tcpi_max_pacing_rate, 112, 8);
AT(tcp_info, tcpi_bytes_acked, 120, 8);
AT(tcp_info, tcpi_bytes_received, 128, 8);
AT(tcp_info, tcpi_segs_out, 136, 4);
AT(tcp_info, tcpi_segs_in, 140, 4);
AT(tcp_info, tcpi_notsent_bytes, 144, 4);
AT(tcp_info, tcpi_min_rtt, 148, 4);
AT(tcp_info, tcpi_data_segs_in, 152, 4);
AT(tcp_info, tcpi_data_segs_out, 156, 4);
AT(tcp_info, tcpi_delivery_rate, 160, 8);
AT(tcp_info, tcpi_busy_time, 168, 8);
AT(tcp_info, tcpi_rwnd_limited, 176, 8);
AT(tcp_info, tcpi_sndbuf_limited, 184, 8);
AT(tcp_info, tcpi_delivered, 192, 4);
AT(tcp_info, tcpi_delivered_ce, 196, 4);
AT(tcp_info, tcpi_bytes_sent, 200, 8);
AT(tcp_info, tcpi_bytes_retrans, 208, 8);
AT(tcp_info, tcpi_dsack_dups, 216, 4);
AT(tcp_info, tcpi_reord_seen, 220, 4);
AT(tcp_info, tcpi_rcv_ooopack, 224, 4);
AT(tcp_info, tcpi_snd_wnd, 228, 4);
