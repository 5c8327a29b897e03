//! As much of HTTP/1.1 (RFC 9112) as one page needs.

/// The page.
pub(crate) const PAGE: &str = "\
<!doctype html>
<title>ustcp</title>
<p>These bytes crossed a TCP that lives in a library:
two sequence numbers agreed, every byte acknowledged, and a goodbye in four steps.</p>
";

/// The longest head of a request that is read, in bytes.
pub(crate) const HEAD_LIMIT: usize = 16 * 1024;

/// A request for `path` of `host`.
pub(crate) fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ustcp\r\n\r\n")
}

/// The page behind its head. The connection stays open: who asked closes first.
pub(crate) fn response() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{PAGE}",
        PAGE.len()
    )
}

/// Length of the head at the beginning of `bytes`, the empty line included; `None` while it is not complete.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Length of the whole response at the beginning of `bytes`, once its head is there. `Err` names what is missing.
pub(crate) fn response_len(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(head_len) = head_len(bytes) else {
        return if bytes.len() > HEAD_LIMIT {
            Err("the head of the answer has no end")
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(bytes.get(..head_len).unwrap_or(bytes));
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    length
        .map(|length| Some(head_len.saturating_add(length)))
        .ok_or("the answer does not say its length")
}

/// Whether a response begins with status 200.
pub(crate) fn is_ok(response: &[u8]) -> bool {
    response.starts_with(b"HTTP/1.1 200 ") || response.starts_with(b"HTTP/1.0 200 ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_at_its_length_and_not_before() {
        let response = response();
        for cut in 0..response.len() {
            let known = response_len(&response.as_bytes()[..cut]).unwrap();
            assert_eq!(known.is_some(), head_len(&response.as_bytes()[..cut]).is_some());
            assert!(known.is_none_or(|len| len == response.len()));
        }
        assert_eq!(response_len(response.as_bytes()), Ok(Some(response.len())));
        assert!(is_ok(response.as_bytes()));
    }

    #[test]
    fn hostile_answers_are_refused() {
        assert!(response_len(&[b'a'; HEAD_LIMIT + 1]).is_err());
        assert!(response_len(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(response_len(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        let endless = response_len(b"X\r\ncontent-length: 18446744073709551615\r\n\r\n");
        assert_eq!(endless, Ok(Some(usize::MAX)));
        assert!(!is_ok(b"HTTP/1.1 404 Not Found\r\n"));
    }
}
