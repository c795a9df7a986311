//! The caller's side of the control socket: one request per connection, HTTP/1.1, blocking.
//!
//! Used by `cli`. Answers come from our own server; they are bounded all the same.

use super::check_owner;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Status line and headers of an answer.
const MAX_ANSWER_HEAD: u64 = 64 * 1024;
/// Body of an answer: a full page of commands with results.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Status, headers as sent, body.
pub type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// Calls the server on a control socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
}

impl Client {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), timeout: Duration::from_secs(60) }
    }

    /// How long the server may be silent; 60 s unless set. A verb that waits for a device needs more.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` when no server runs; `InvalidInput` for text that cannot be in a request;
    /// `TimedOut` or `WouldBlock` when it is silent; `InvalidData` for what is no HTTP answer.
    pub fn request(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let head = self.head(method, path_and_query, headers, body.len())?;
        check_owner(&self.path)?;
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        // A refusal may come before all is sent: then the answer says more than the broken pipe.
        match (read_answer(BufReader::new(&stream), method == "HEAD"), sent) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    fn head(&self, method: &str, path_and_query: &str, headers: &[(&str, &str)], length: usize) -> io::Result<String> {
        let mut head = format!("{method} {path_and_query} HTTP/1.1\r\nHost: cordon\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        let token = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let names = headers
            .iter()
            .all(|(name, value)| token(name) && !name.contains(':') && !value.contains(['\r', '\n', '\0']));
        if token(method) && token(path_and_query) && names {
            Ok(head)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a valid request"))
        }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server's answer is no HTTP: {why}"))
}

fn read_answer(mut stream: impl BufRead, without_body: bool) -> io::Result<Answer> {
    let mut head = (&mut stream).take(MAX_ANSWER_HEAD);
    let status = line(&mut head)?;
    let status = status.strip_prefix("HTTP/1.").and_then(|s| s.get(2..5)).and_then(|s| s.parse().ok());
    let status: u16 = status.ok_or_else(|| bad("no status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(&mut head)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let body = if without_body || status == 204 || status == 304 {
        Vec::new()
    } else if find("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        chunked(&mut stream, MAX_ANSWER)?
    } else if let Some(length) = find("content-length") {
        exactly(&mut stream, length.parse().map_err(|_| bad("a bad Content-Length"))?, 0, MAX_ANSWER)?
    } else {
        let mut body = Vec::new();
        stream.take(MAX_ANSWER + 1).read_to_end(&mut body)?;
        if body.len() as u64 > MAX_ANSWER {
            return Err(bad("too large"));
        }
        body
    };
    Ok((status, headers, body))
}

/// A line without its end; an error if the input ends first.
pub(super) fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(rest) => Ok(rest.strip_suffix('\r').unwrap_or(rest).to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed before its answer was complete")),
    }
}

fn exactly(stream: &mut impl Read, length: u64, already: usize, most: u64) -> io::Result<Vec<u8>> {
    if length.saturating_add(already as u64) > most {
        return Err(bad("too large"));
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed before its answer was complete"));
    }
    Ok(body)
}

/// A chunked body of at most `most` bytes.
pub(super) fn chunked(stream: &mut impl BufRead, most: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(&mut stream.take(1_024))?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| bad("a bad chunk size"))?;
        body.append(&mut exactly(stream, size, body.len(), most)?);
        if size == 0 {
            // Trailers, if any, end with the connection; nobody needs them.
            return Ok(body);
        }
        if !line(&mut stream.take(2))?.is_empty() {
            return Err(bad("a chunk that does not end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Answer> {
        read_answer(text.as_bytes(), false)
    }

    #[test]
    fn reads_every_way_to_end_a_body() {
        let cases = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nhello",
        ];
        for text in cases {
            let (status, _, body) = read(text).unwrap();
            assert_eq!((status, body.as_slice()), (200, b"hello".as_slice()), "{text}");
        }
        assert_eq!(
            read("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n").unwrap(),
            (204, vec![("x-a".into(), "b".into())], vec![])
        );
    }

    #[test]
    fn refuses_what_is_cut_or_too_large() {
        let cases = [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
            "SSH-2.0-OpenSSH_9.9\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ];
        for text in cases {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lets_nothing_be_smuggled_into_a_request() {
        let client = Client::new("/nowhere");
        for (path, name, value) in
            [("/a b", "x", "y"), ("/a", "x", "y\r\nz: 1"), ("/a", "x: y\r\nz", "1"), ("/a\r\n", "x", "y")]
        {
            let refused = client.request("GET", path, &[(name, value)], b"").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{path} {name} {value}");
        }
        assert_eq!(client.request("GET", "/a", &[], b"").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
