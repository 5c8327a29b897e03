//! An HTTP server on the kernel's TCP: one fixed page, and it does not close first.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::http;

/// How long the server takes to close its end once the client has closed: longer than Linux holds an acknowledgement
/// back, so that the ACK of the client's FIN goes out alone and all four steps of the close are seen.
pub(crate) const GOODBYE: Duration = Duration::from_millis(250);

/// The server; it runs until the process ends.
pub(crate) struct Server {
    pages: Arc<AtomicUsize>,
}

impl Server {
    /// Listens on every address of this network namespace, also on those that appear later.
    pub(crate) fn start(port: u16) -> io::Result<Server> {
        let pages = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        let counter = Arc::clone(&pages);
        thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || accept_all(&listener, &counter))?;
        Ok(Server { pages })
    }

    /// How many pages were handed to the kernel whole.
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Ordering::Acquire)
    }
}

fn accept_all(listener: &TcpListener, pages: &Arc<AtomicUsize>) {
    for stream in listener.incoming().flatten() {
        let pages = Arc::clone(pages);
        // A connection that gets no thread, or ends in an error, is the client's to complain about.
        let _ = thread::Builder::new().spawn(move || serve(stream, &pages));
    }
}

/// Answers every request until the client closes.
fn serve(mut stream: TcpStream, pages: &AtomicUsize) -> io::Result<()> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(len) = http::head_len(&heard) {
            heard.drain(..len);
            stream.write_all(http::response().as_bytes())?;
            pages.fetch_add(1, Ordering::Release);
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            thread::sleep(GOODBYE);
            return Ok(());
        }
        heard.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
        if heard.len() > http::HEAD_LIMIT {
            return Ok(());
        }
    }
}
