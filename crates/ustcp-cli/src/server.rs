//! An HTTP server on the kernel's TCP: one fixed page, and it does not close first.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::http;

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
        heard.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
        if count == 0 || heard.len() > http::HEAD_LIMIT {
            return Ok(());
        }
    }
}
