//! The class under the links of a `Network`, and what a packet is.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ustcp_runtime::manual::{Checksum, Instant};
use ustcp_sim::{Link as Line, PacketKind, Weather};
use ustcp_wire::{IpPacket, TcpSegment};

/// One direction of a link under its weather.
#[pyclass(frozen, module = "ustcp._ustcp")]
pub(crate) struct Link(Mutex<Line>);

/// What a link did to packets so far: offered, delivered, scripted, lost, overflowed, duplicated, corrupted, reordered,
/// marked.
type Counters = [u64; 9];

/// Source, destination, ports, sequence and acknowledgement number, flags, window unscaled, bytes of text.
type Segment = (String, String, u16, u16, u32, u32, u8, u16, usize, Vec<String>);

#[pymethods]
impl Link {
    /// `ValueError` with what is allowed for weather that is malformed.
    #[new]
    #[pyo3(signature = (weather, seed, /))]
    fn new(weather: &str, seed: u64) -> PyResult<Link> {
        Ok(Link(Mutex::new(Line::new(weather_of(weather, seed)?))))
    }

    /// Hands over one packet.
    #[pyo3(signature = (packet, now, /))]
    fn send(&self, packet: &[u8], now: u64) {
        self.0.lock().send(Instant::from_nanos(now), packet.to_vec(), None);
    }

    /// The next packet whose time has come.
    #[pyo3(signature = (now, /))]
    fn poll(&self, py: Python<'_>, now: u64) -> Option<Py<PyBytes>> {
        let packet = self.0.lock().poll(Instant::from_nanos(now))?;
        Some(PyBytes::new(py, &packet).unbind())
    }

    /// When the next packet is due.
    fn deadline(&self) -> Option<u64> {
        self.0.lock().poll_timeout().map(Instant::as_nanos)
    }

    /// Other weather, for packets handed over from now on.
    #[pyo3(signature = (weather, seed, /))]
    fn change(&self, weather: &str, seed: u64) -> PyResult<()> {
        self.0.lock().change(weather_of(weather, seed)?);
        Ok(())
    }

    fn counters(&self) -> Counters {
        let all = self.0.lock().counters();
        [
            all.offered,
            all.delivered,
            all.scripted,
            all.lost,
            all.overflowed,
            all.duplicated,
            all.corrupted,
            all.reordered,
            all.marked,
        ]
    }
}

/// The way takes at least 1 us, or a loop could not be told from a fast link.
fn weather_of(text: &str, seed: u64) -> PyResult<Weather> {
    let mut weather: Weather = text.parse().map_err(PyValueError::new_err)?;
    if let Some(drop) = weather.drops.iter().find(|drop| drop.direction.is_some()) {
        let kind = drop.kind;
        return Err(PyValueError::new_err(format!(
            "weather: drop={drop}: a link between hosts knows no in and out; net.drop(\"{kind}\", source=...) names the way"
        )));
    }
    if !text.split(',').any(|item| item.trim_start().starts_with("seed")) {
        weather.seed = seed;
    }
    weather.delay = weather.delay.max(std::time::Duration::from_micros(1));
    Ok(weather)
}

/// A TCP segment in figures; `None` for a packet that is none, or damaged.
#[pyfunction]
#[pyo3(signature = (packet, /))]
pub(crate) fn describe(packet: &[u8]) -> Option<Segment> {
    let ip = IpPacket::parse(packet).ok()?;
    let segment = TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded).ok()?;
    let kinds = PacketKind::ALL.into_iter().filter(|kind| kind.describes(&segment));
    Some((
        ip.header.source.to_string(),
        ip.header.destination.to_string(),
        segment.header.source_port,
        segment.header.destination_port,
        segment.header.seq.0,
        segment.header.ack.0,
        segment.header.flags.0,
        segment.header.window,
        segment.payload.len(),
        kinds.map(|kind| kind.to_string()).collect(),
    ))
}

/// Where a packet is sent: the destination's address.
#[pyfunction]
#[pyo3(signature = (packet, /))]
pub(crate) fn destination(packet: &[u8]) -> Option<String> {
    Some(IpPacket::parse(packet).ok()?.header.destination.to_string())
}
