//! The client of the demonstration: GET one page over ustcp, as a C program would.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ustcp_runtime::{Errno, Family, RecvFlags, SendFlags, Socket, Wait, process};

use crate::Failure;
use crate::http;

/// How long a connection may take: five SYNs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is taken, in bytes.
const LIMIT: usize = 64 * 1024 * 1024;

/// Fetch a page over ustcp and print the response.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// `http://ADDRESS[:PORT][/PATH]`, the address in figures.
    #[arg(value_parser = parse_url)]
    url: Url,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    host: String,
    address: SocketAddr,
    path: String,
}

fn parse_url(text: &str) -> Result<Url, String> {
    let rest = text.strip_prefix("http://").ok_or("only http:// is known here")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let address = host.parse().or_else(|_| format!("{host}:80").parse());
    let address =
        address.map_err(|_| format!("'{host}' is not an address in figures, such as 10.77.0.1 or 10.77.0.1:8080"))?;
    Ok(Url {
        host: host.to_owned(),
        address,
        path: path.to_owned(),
    })
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let response = fetch(&options.url);
    process::fini();
    let response = response?;
    io::stdout().write_all(&response)?;
    if http::is_ok(&response) {
        Ok(())
    } else {
        Err(Failure::new("the answer is not 200 OK"))
    }
}

fn fetch(url: &Url) -> Result<Vec<u8>, Failure> {
    let failed = |call: &'static str| {
        let address = url.address;
        move |Errno(number): Errno| Failure::new(format!("{call} {address}: {}", io::Error::from_raw_os_error(number)))
    };
    let family = if url.address.is_ipv4() { Family::V4 } else { Family::V6 };
    let runtime = process::runtime().map_err(failed("starting the stack for"))?;
    let socket = runtime.socket(family).map_err(failed("socket to"))?;
    socket
        .connect(url.address, Wait::Until(Instant::now() + PATIENCE))
        .map_err(|error| match error {
            Errno(libc::EINPROGRESS) => failed("connect to")(Errno(libc::ETIMEDOUT)),
            other => failed("connect to")(other),
        })?;
    let request = http::request(&url.host, &url.path);
    let request = [IoSlice::new(request.as_bytes())];
    socket
        .send(
            &request,
            SendFlags {
                no_signal: true,
                ..SendFlags::default()
            },
            Wait::Forever,
        )
        .map_err(failed("send to"))?;
    let response = receive(&socket, failed("recv from"))?;
    socket.close().map_err(failed("close of"))?;
    Ok(response)
}

fn receive(socket: &Socket, failed: impl Fn(Errno) -> Failure) -> Result<Vec<u8>, Failure> {
    let mut heard = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let len = http::response_len(&heard).map_err(Failure::new)?;
        if len.is_some_and(|len| heard.len() >= len) {
            return Ok(heard);
        }
        if len.unwrap_or(0) > LIMIT {
            return Err(Failure::new("the answer is too long"));
        }
        let into = &mut [IoSliceMut::new(&mut buffer)];
        let count = socket
            .recv(into, RecvFlags::default(), Wait::Forever)
            .map_err(&failed)?;
        if count == 0 {
            return Err(Failure::new("the server closed in the middle of its answer"));
        }
        heard.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = |host: &str, address: &str, path: &str| {
            Ok(Url {
                host: host.to_owned(),
                address: address.parse().unwrap(),
                path: path.to_owned(),
            })
        };
        assert_eq!(parse_url("http://10.77.0.1"), url("10.77.0.1", "10.77.0.1:80", "/"));
        assert_eq!(
            parse_url("http://10.77.0.1/a/b?c"),
            url("10.77.0.1", "10.77.0.1:80", "/a/b?c")
        );
        assert_eq!(
            parse_url("http://10.77.0.1:81/"),
            url("10.77.0.1:81", "10.77.0.1:81", "/")
        );
        assert_eq!(parse_url("http://[fd00::1]/"), url("[fd00::1]", "[fd00::1]:80", "/"));
        assert!(parse_url("https://10.77.0.1/").unwrap_err().contains("http://"));
        assert!(parse_url("http://example/").unwrap_err().contains("figures"));
        assert!(parse_url("http://10.77.0.1:99999/").is_err());
    }
}
