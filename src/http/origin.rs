//! Where a request of a person came from: for the audit, for counting wrong passwords and codes by address, and, on the control socket,
//! who the caller's process belongs to. Asked by the API, the console and the enrolment pages. Deliberately not here: what anybody may do.

use super::control::user_name;
use super::message::{Door, Remote, Request};
use std::net::IpAddr;

/// Where from, settled once for each request.
pub struct Origin {
    words: String,
    address: Option<IpAddr>,
    uid: Option<u32>,
}

impl Origin {
    /// Behind a proxy that is trusted, its word (the last address of `X-Forwarded-For`) counts; anybody else's does not.
    pub fn of(request: &Request, trusted: &[IpAddr]) -> Origin {
        match (request.door, request.remote) {
            (Door::Control, Remote::Local { uid }) => Origin { words: String::from("local"), address: None, uid },
            (Door::Proxied, Remote::Tcp(proxy)) => {
                // Each proxy adds to the end, some in a header of its own; what stands before is the client's word.
                let forwarded = request.headers.get_all("x-forwarded-for").iter().next_back();
                let forwarded = forwarded.and_then(|list| list.to_str().ok()).and_then(|list| list.rsplit(',').next());
                let address: Option<IpAddr> = forwarded
                    .filter(|_| trusted.contains(&proxy.ip().to_canonical()))
                    .and_then(|text| text.trim().parse().ok());
                let words = match address {
                    Some(address) => format!("{address} via {}", proxy.ip()),
                    None => format!("proxy {}", proxy.ip()),
                };
                Origin { words, address, uid: None }
            }
            (Door::Control, Remote::Tcp(_)) => Origin { words: String::from("local"), address: None, uid: None },
            (_, Remote::Tcp(from)) => {
                let address = from.ip().to_canonical();
                Origin { words: address.to_string(), address: Some(address), uid: None }
            }
            (_, Remote::Local { .. }) => Origin { words: String::from("local"), address: None, uid: None },
        }
    }

    /// For the audit.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// One person's address; `None` behind a proxy that does not tell.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whom the system says the caller's process belongs to.
    pub fn local_user(&self) -> String {
        self.uid.map_or_else(|| String::from("unknown"), user_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::{HeaderMap, HeaderValue, Method};

    fn request(door: Door, from: &str, forwarded: Option<&'static str>) -> Request {
        let mut headers = HeaderMap::new();
        if let Some(list) = forwarded {
            headers.insert("x-forwarded-for", HeaderValue::from_static(list));
        }
        Request {
            id: 1,
            door,
            remote: Remote::Tcp(from.parse().unwrap()),
            method: Method::GET,
            path: String::from("/"),
            query: None,
            headers,
            peer_certificate: None,
            body: crate::http::message::Body::default(),
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_where_somebody_is() {
        let trusted = ["127.0.0.1".parse().unwrap()];
        let table = [
            (Door::People, "192.0.2.1:5", Some("198.51.100.1"), "192.0.2.1"),
            (Door::People, "[::ffff:192.0.2.1]:5", None, "192.0.2.1"),
            (Door::Proxied, "127.0.0.1:5", Some("10.0.0.1, 198.51.100.1"), "198.51.100.1 via 127.0.0.1"),
            (Door::Proxied, "127.0.0.1:5", None, "proxy 127.0.0.1"),
            (Door::Proxied, "127.0.0.1:5", Some("not an address"), "proxy 127.0.0.1"),
            (Door::Proxied, "192.0.2.1:5", Some("198.51.100.1"), "proxy 192.0.2.1"),
        ];
        for (door, from, forwarded, wanted) in table {
            let origin = Origin::of(&request(door, from, forwarded), &trusted);
            assert_eq!(origin.words(), wanted);
            assert_eq!(origin.address().is_none(), wanted.starts_with("proxy"));
        }
    }
}
