//! One connection to a mail server: lines out, replies in, strictly read and bounded in size and time, before and after TLS.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// RFC 5321 asks for 512; real servers say a little more.
const MAX_LINE: usize = 2_048;
/// Lines of one reply; EHLO has the most.
const MAX_LINES: usize = 64;
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes handed to the connection at once.
const CHUNK: usize = 8 * 1024;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// What a server said: its code, and the text of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// # Errors
    /// With the server's words when the code is another; `what` was asked for.
    pub fn wanted(self, codes: &[u16], what: &str) -> Result<Reply, String> {
        if codes.contains(&self.code) { Ok(self) } else { Err(format!("{what} was refused: {}", self.words())) }
    }

    /// The whole reply for people.
    pub fn words(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// What follows a keyword of EHLO, if the server has it.
    pub fn ability(&self, keyword: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }
}

/// The connection.
pub struct Line<'a> {
    stream: Stream,
    /// Read, and not yet taken as a line.
    ahead: Vec<u8>,
    until: Instant,
    stopped: &'a AtomicBool,
}

impl<'a> Line<'a> {
    pub fn new(socket: TcpStream, until: Instant, stopped: &'a AtomicBool) -> Result<Self, String> {
        let set = socket.set_read_timeout(Some(LOOK)).and_then(|()| socket.set_write_timeout(Some(LOOK)));
        set.and_then(|()| socket.set_nodelay(true)).map_err(|e| e.to_string())?;
        Ok(Self { stream: Stream::Plain(socket), ahead: Vec::new(), until, stopped })
    }

    pub fn is_secured(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// TLS from here on.
    ///
    /// # Errors
    /// When the server cannot prove its name, and when anything was said in the clear beyond what was asked for: that could be a
    /// stranger's words, to be taken for the server's own.
    pub fn secured(self, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, String> {
        let Stream::Plain(mut socket) = self.stream else { return Err(String::from("TLS within TLS")) };
        if !self.ahead.is_empty() {
            return Err(String::from("more was said than was asked for before TLS began; somebody may be in between"));
        }
        let (until, stopped) = (self.until, self.stopped);
        let mut connection = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
        while connection.is_handshaking() {
            again(until, stopped, || connection.complete_io(&mut socket)).map_err(|e| format!("TLS: {e}"))?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(Self { stream, ahead: Vec::new(), until, stopped })
    }

    /// One line out, one reply in.
    pub fn ask(&mut self, words: &str) -> Result<Reply, String> {
        self.say(words)?;
        self.read()
    }

    pub fn say(&mut self, words: &str) -> Result<(), String> {
        // Nothing that is sent as a line comes with an end of line in it; settings were checked, and this makes sure.
        if words.contains(['\r', '\n', '\0']) {
            return Err(String::from("a line with a break in it was not sent"));
        }
        self.put(format!("{words}\r\n").as_bytes())
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Self { stream, until, stopped, .. } = self;
        for mut rest in bytes.chunks(CHUNK) {
            while !rest.is_empty() {
                let sent = again(*until, stopped, || stream.write(rest))?;
                rest = &rest[sent..];
            }
            again(*until, stopped, || stream.flush())?;
        }
        Ok(())
    }

    /// One reply, of all its lines.
    pub fn read(&mut self) -> Result<Reply, String> {
        let (mut code, mut lines) = (None, Vec::new());
        loop {
            let (said, last, text) = parse(&self.line()?).ok_or("that is not a mail server: no reply as in SMTP")?;
            if *code.get_or_insert(said) != said || lines.len() == MAX_LINES {
                return Err(String::from("a reply that contradicts itself or has no end"));
            }
            lines.push(text);
            if last {
                return Ok(Reply { code: said, lines });
            }
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.ahead.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.ahead.len() > MAX_LINE {
                return Err(String::from("a line without an end"));
            }
            let mut chunk = [0; 1_024];
            let Self { stream, until, stopped, .. } = self;
            let read = again(*until, stopped, || stream.read(&mut chunk))?;
            if read == 0 {
                return Err(String::from("the server hung up"));
            }
            self.ahead.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Tries until it works, breaks, or time is over.
fn again<T>(until: Instant, stopped: &AtomicBool, mut step: impl FnMut() -> io::Result<T>) -> Result<T, String> {
    loop {
        if stopped.load(Ordering::SeqCst) {
            return Err(String::from("Cordon is stopping"));
        }
        if Instant::now() >= until {
            return Err(String::from("the server takes too long"));
        }
        match step() {
            Ok(done) => return Ok(done),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// Code, whether it is the last line, and its text without control characters.
fn parse(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(code).ok().filter(|c| c.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    let last = match rest.first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (200..=599).contains(&code).then_some((code, last, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_counts_as_a_reply() {
        let text = |t: &str| t.to_owned();
        type Read = Option<(u16, bool, String)>;
        let table: [(&[u8], Read); 8] = [
            (b"250 ok", Some((250, true, text("ok")))),
            (b"250-PIPELINING", Some((250, false, text("PIPELINING")))),
            (b"354", Some((354, true, text("")))),
            (b"250 a\x1b[31mb\x07", Some((250, true, text("a [31mb ")))),
            (b"25 ok", None),
            (b"HTTP/1.1 400", None),
            (b"250ok", None),
            (b"999 no", None),
        ];
        for (said, wanted) in table {
            assert_eq!(parse(said), wanted, "{said:?}");
        }
        let able =
            Reply { code: 250, lines: vec![text("mail"), text("auth=PLAIN"), text("AUTH PLAIN LOGIN"), text("SIZE")] };
        assert_eq!((able.ability("size"), able.ability("STARTTLS")), (Some(""), None));
    }

    /// Serves these bytes and keeps the connection.
    fn says(bytes: Vec<u8>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let _ = peer.write_all(&bytes);
            let _ = peer.read(&mut [0; 64]);
            std::thread::sleep(Duration::from_secs(3));
        });
        TcpStream::connect(address).unwrap()
    }

    #[test]
    fn hostile_servers_get_no_memory_and_no_time() {
        let stopped = AtomicBool::new(false);
        let soon = || Instant::now() + Duration::from_secs(2);
        let mut endless = Line::new(says(vec![b'2'; 1 << 20]), soon(), &stopped).unwrap();
        assert_eq!(endless.read().unwrap_err(), "a line without an end");
        let mut many = Line::new(says(b"250-x\r\n".repeat(1_000)), soon(), &stopped).unwrap();
        assert_eq!(many.read().unwrap_err(), "a reply that contradicts itself or has no end");
        let mut two = Line::new(says(b"250-x\r\n220 y\r\n".to_vec()), soon(), &stopped).unwrap();
        assert!(two.read().is_err());
        let mut silent = Line::new(says(Vec::new()), Instant::now() + Duration::from_millis(300), &stopped).unwrap();
        assert_eq!(silent.read().unwrap_err(), "the server takes too long");
        let mut broken = Line::new(says(Vec::new()), soon(), &stopped).unwrap();
        assert!(broken.say("MAIL FROM:<a>\r\nRCPT TO:<b>").is_err());
        stopped.store(true, Ordering::SeqCst);
        let mut late = Line::new(says(Vec::new()), soon(), &stopped).unwrap();
        assert_eq!(late.read().unwrap_err(), "Cordon is stopping");
    }

    #[test]
    fn words_slipped_in_before_tls_end_the_conversation() {
        let stopped = AtomicBool::new(false);
        let said = b"220 go ahead\r\n250-mail\r\n250 AUTH PLAIN\r\n".to_vec();
        let mut line = Line::new(says(said), Instant::now() + Duration::from_secs(2), &stopped).unwrap();
        // All of it has come before the answer is taken.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(line.ask("STARTTLS").unwrap().code, 220);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let refused = line.secured(Arc::new(config), ServerName::try_from("localhost").unwrap());
        assert!(refused.err().unwrap().contains("before TLS began"));
    }
}
