//! Pages of the console with ten thousand devices: the time from the request to the finished answer, inside the server.

use crate::report::{Goal, Line};
use crate::{Fault, school};
use cordon::base::ids::DeviceId;
use cordon::base::push::{PushMagic, PushTarget, PushToken, Topic};
use cordon::base::secret::Secret;
use cordon::base::time::DAY;
use cordon::http::message::{Body, Door, Handler, Remote, Request, Response};
use cordon::http::routes::Front;
use cordon::pki::SystemRandom;
use cordon::plist::Dictionary;
use cordon::service::actor::Actor;
use cordon::service::commands::{self, Wish};
use cordon::service::{Context, Error, people};
use cordon::store::{DeviceFacts, NewEnrollment};
use http::{HeaderMap, HeaderValue, Method};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const DEVICES: usize = 10_000;
/// Commands that wait meanwhile, and lines of the story of each device.
const WAITING: usize = 500;
const LINES: usize = 10;
const PASSWORD: &str = "tin roof in may";
/// Each page is asked for so often; the slowest but one counts.
const TIMES: usize = 12;

/// The slowest of the ordinary answers of each page.
pub fn measure(directory: &Path) -> Result<Vec<Line>, Fault> {
    school::School::found(directory, 1, 1)?;
    let cx = Arc::new(school::open(directory)?);
    let local = Actor::LocalShell { user: String::from("bench") };
    people::create(&cx, &local, "ada", "owner", &Secret::new(String::from(PASSWORD)))?;
    let ids = plant(&cx)?;
    for id in ids.iter().take(WAITING) {
        let request_type = String::from("ProfileList");
        let keys = Dictionary::new();
        let wish =
            Wish { request_type, keys, user: None, uuid: None, not_before: None, expires_at: None, unchecked: true };
        commands::send(&cx, &local, id, &wish)?;
    }
    let front = Front::new(Arc::clone(&cx), Vec::new(), None);
    let cookies = log_in(&front)?;
    let device = ids.first().cloned().unwrap_or_default();
    let pages = [
        ("the overview", String::from("/console")),
        ("devices, the first page", String::from("/console/devices")),
        ("devices by last seen", String::from("/console/devices?sort=seen&down=yes")),
        ("devices, a search", String::from("/console/devices?search=ipad+0999")),
        ("devices with waiting commands", String::from("/console/devices?state=waiting")),
        ("one device", format!("/console/devices/{device}")),
        ("commands", String::from("/console/commands")),
        ("the audit", String::from("/console/audit")),
    ];
    let mut lines = Vec::new();
    for (name, path) in pages {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..TIMES {
            let begun = Instant::now();
            let response = front.handle(request(Method::GET, &path, &cookies, Vec::new())?);
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
            bytes = response.body.len();
            if response.status != 200 {
                return Err(format!("{path}: {}", response.status).into());
            }
        }
        times.sort_by(f64::total_cmp);
        let what = format!("{name} with {DEVICES} devices");
        lines.push(Line { what, unit: "ms", figure: times[TIMES - 2], goal: Goal::AtMost(100.0), raw: None });
        let what = format!("{name}: size");
        lines.push(Line { what, unit: "KB", figure: bytes as f64 / 1024.0, goal: Goal::AtMost(200.0), raw: None });
    }
    Ok(lines)
}

fn request(method: Method, path: &str, cookies: &str, body: Vec<u8>) -> Result<Request, Fault> {
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q.to_owned())));
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_str(cookies)?);
    Ok(Request {
        id: 1,
        door: Door::People,
        remote: Remote::Tcp(SocketAddr::from(([127, 0, 0, 1], 9))),
        method,
        path: path.to_owned(),
        query,
        headers,
        peer_certificate: None,
        body: Body { bytes: body, oversized: false },
    })
}

fn log_in(front: &Front) -> Result<String, Fault> {
    let cookie = |response: &Response| {
        let set = response.header("set-cookie").unwrap_or_default();
        set.split(';').next().unwrap_or_default().to_owned()
    };
    let door = front.handle(request(Method::GET, "/console/login", "a=b", Vec::new())?);
    let page = String::from_utf8_lossy(&door.body).into_owned();
    let (_, rest) = page.split_once("name=\"form\" value=\"").ok_or("no form")?;
    let token = rest.split('"').next().unwrap_or_default();
    let body = format!("form={token}&name=ada&password={}", PASSWORD.replace(' ', "+"));
    Ok(cookie(&front.handle(request(Method::POST, "/console/login", &cookie(&door), body.into_bytes())?)))
}

/// Devices as check-ins would leave them.
fn plant(cx: &Context) -> Result<Vec<String>, Fault> {
    let now = cx.now();
    let bad = |e: cordon::base::ids::BadId| Error::internal(e.to_string());
    let ids = cx.store.write(|tx| -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for i in 0..DEVICES {
            let id = DeviceId::mint(cordon::base::random::bytes(&SystemRandom));
            let row = tx.insert_device(&id, now)?;
            let facts = DeviceFacts {
                serial: Some(format!("DX{i:08}").parse().map_err(bad)?),
                name: Some(format!("iPad {:05}", (i * 7_919) % DEVICES)),
                platform: Some(["iPadOS", "macOS", "iOS"][i % 3]),
                model_name: Some(String::from("iPad Air")),
                os_version: Some(format!("17.{}", i % 12)),
                ..DeviceFacts::default()
            };
            tx.update_device(row, &facts)?;
            let udid = format!("00008101-{:016X}", i + 1_000_000);
            let new = NewEnrollment {
                device: row,
                parent: None,
                enrollment_id: &udid,
                udid: Some(&udid),
                user_enrollment_id: None,
                user_id: None,
                user_short_name: None,
                user_long_name: None,
            };
            let channel = tx.insert_enrollment(&new, now)?;
            let target = PushTarget {
                topic: Topic::new(school::TOPIC).map_err(bad)?,
                token: PushToken::new(vec![9; 32]).map_err(bad)?,
                magic: PushMagic::new(&udid).map_err(bad)?,
            };
            tx.activate(channel, &target, false, false, now)?;
            tx.put_last_seen(&[(channel, now.plus(-(i as i64 % 20) * DAY))])?;
            for line in 0..LINES {
                tx.tell(row, Some(channel), None, "status", None, now.plus(-(line as i64) * DAY))?;
            }
            ids.push(id.as_str().to_owned());
        }
        Ok(ids)
    })?;
    Ok(ids)
}
