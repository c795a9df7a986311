//! One request of a control connection: HTTP/1.1, read whole, answered, closed. Bounded like everything that reads, though every caller
//! is the server's own user or root.

use super::caller::peer_uid;
use super::client::{chunked, line};
use crate::http::message::{Body, BodyLimit, Door, Handler, Head, Remote, Request, Response, next_request_id};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use zeroize::Zeroize as _;

/// Request line and headers.
const MAX_HEAD: u64 = 64 * 1024;
/// A caller that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads one request from `stream` and answers it. A connection that is closed without a word is none.
pub fn serve(handler: &dyn Handler, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let uid = peer_uid(stream);
    let mut reader = BufReader::new(stream);
    let response = catch_unwind(AssertUnwindSafe(|| match receive(handler, &mut reader, stream, uid) {
        Ok(Some(request)) => Ok(Some(handler.handle(request))),
        Ok(None) => Ok(None),
        Err(Refusal::Answer(response)) => Ok(Some(response)),
        Err(Refusal::Gone(error)) => Err(error),
    }));
    let response = response.unwrap_or_else(|_| {
        tracing::error!("a handler of the control socket panicked");
        Ok(Some(Response::text(500, "internal error\n")))
    })?;
    let Some(mut response) = response else { return Ok(()) };
    let answered = answer(stream, &response);
    // It may be a secret that somebody asked to see.
    response.body.zeroize();
    answered
}

enum Refusal {
    Answer(Response),
    Gone(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Gone(error)
    }
}

fn bad(why: &str) -> Refusal {
    Refusal::Answer(Response::text(400, format!("{why}\n")))
}

fn receive(
    handler: &dyn Handler,
    reader: &mut BufReader<&UnixStream>,
    mut stream: &UnixStream,
    uid: Option<u32>,
) -> Result<Option<Request>, Refusal> {
    let mut head = reader.take(MAX_HEAD);
    let Ok(first) = line(&mut head) else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(url), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("bad request line"));
    };
    if !version.starts_with("HTTP/1.") || !url.starts_with('/') {
        return Err(bad("bad request line"));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("bad method"))?;
    let mut headers = HeaderMap::new();
    loop {
        let text = line(&mut head)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').ok_or_else(|| bad("bad header"))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("bad header name"))?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| bad("bad header value"))?);
    }
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let head = Head {
        id: next_request_id(),
        door: Door::Control,
        remote: Remote::Local { uid },
        method: &method,
        path,
        query,
        headers: &headers,
        peer_certificate: None,
    };
    let BodyLimit { soft, hard } = handler.body_limit(&head);
    let too_large = || Refusal::Answer(Response::text(413, "the body is too large\n"));
    if head.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let bytes = if headers.contains_key("transfer-encoding") {
        if !head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return Err(bad("a transfer coding that is not known here"));
        }
        chunked(reader, hard as u64).map_err(|_| too_large())?
    } else {
        let length = match headers.get("content-length") {
            None => 0,
            Some(_) => {
                let told = head.header("content-length").and_then(|v| v.parse::<u64>().ok());
                told.ok_or_else(|| bad("a bad Content-Length"))?
            }
        };
        if length > hard as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        reader.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(bad("the body is not complete"));
        }
        bytes
    };
    let oversized = bytes.len() > soft;
    Ok(Some(head.with_body(Body { bytes, oversized })))
}

fn answer(mut stream: &UnixStream, response: &Response) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} \r\nconnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        // Nothing is smuggled into the head.
        if !value.contains(['\r', '\n', '\0']) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if response.status != 204 && response.status != 304 {
        head.push_str(&format!("content-length: {}\r\n", response.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&response.body)?;
    // What was not read of a refused body must not tear the answer down: the caller sees the end first.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut rest = stream.take(64 * 1024 * 1024);
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    io::copy(&mut rest, &mut io::sink()).map(drop)
}
