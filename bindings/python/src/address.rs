//! Address tuples.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyTuple};
use ustcp_runtime::Family;

/// `(host, port)`, and for IPv6 also flow information and scope, which are not looked at: the stack labels its flows
/// itself, and has one device.
pub(crate) fn from_python(family: Family, address: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let Ok(tuple) = address.cast::<PyTuple>() else {
        let kind = address.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "address must be a tuple (host, port), not {kind}"
        )));
    };
    let longest = match family {
        Family::V4 => 2,
        Family::V6 => 4,
    };
    if !(2..=longest).contains(&tuple.len()) {
        return Err(PyTypeError::new_err(match family {
            Family::V4 => "address must be a tuple (host, port)",
            Family::V6 => "address must be a tuple (host, port[, flowinfo[, scope_id]])",
        }));
    }
    let host = host_of(&tuple.get_item(0)?)?;
    let port = tuple.get_item(1)?.extract::<i64>()?;
    let port = u16::try_from(port).map_err(|_| PyOverflowError::new_err("port must be 0-65535"))?;
    for number in tuple.iter().skip(2) {
        number.extract::<u32>()?;
    }
    Ok(SocketAddr::new(resolve(address.py(), family, &host)?, port))
}

/// A host as `str`, `bytes` or `bytearray`.
fn host_of(host: &Bound<'_, PyAny>) -> PyResult<String> {
    if host.is_instance_of::<PyBytes>() || host.is_instance_of::<PyByteArray>() {
        return host.call_method1("decode", ("ascii",))?.extract();
    }
    host.extract()
}

/// The tuple of an address.
pub(crate) fn to_python(py: Python<'_>, address: SocketAddr) -> PyResult<Py<PyAny>> {
    let (host, port) = (address.ip().to_string(), address.port());
    match address {
        SocketAddr::V4(_) => (host, port).into_py_any(py),
        SocketAddr::V6(v6) => (host, port, v6.flowinfo(), v6.scope_id()).into_py_any(py),
    }
}

/// A host by number, "" for any, "localhost" for this stack itself; other names as the host resolves them.
fn resolve(py: Python<'_>, family: Family, host: &str) -> PyResult<IpAddr> {
    let (any, this) = match family {
        Family::V4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::V6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::LOCALHOST)),
    };
    match host {
        "" => return Ok(any),
        "localhost" => return Ok(this),
        _ => {}
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv4() == (family == Family::V4) => Ok(ip),
        _ => resolve_by_host(py, family, host),
    }
}

/// The first answer of the host's own resolver; `socket.gaierror` when it has none.
fn resolve_by_host(py: Python<'_>, family: Family, host: &str) -> PyResult<IpAddr> {
    let number = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let answers = py
        .import("socket")?
        .call_method1("getaddrinfo", (host, 0, number, libc::SOCK_STREAM))?;
    let address = answers.get_item(0)?.get_item(4)?.get_item(0)?.extract::<String>()?;
    let without_scope = address.split('%').next().unwrap_or_default();
    without_scope
        .parse()
        .map_err(|_| PyTypeError::new_err(format!("{address} is not an IP address")))
}
