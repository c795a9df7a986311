//! Sheets for paper: one HTML page each, complete in itself, black on white. Nothing is loaded from anywhere, and no browser keeps it.
//! Used by the API and by the console.

use crate::http::message::Response;
use crate::service::sheets::{SecretSheet, TheftSheet};
use crate::store::{DeviceRow, Lost};
use zeroize::Zeroizing;

/// More than the secrets of one device take.
const SHEET_BYTES: usize = 32 * 1024;

const STYLE: &str = "body{font:11pt/1.4 system-ui,sans-serif;color:#000;background:#fff;max-width:42em;margin:2em auto;padding:0 1em}\
h1{font-size:16pt}h2{font-size:12pt;margin:1.5em 0 .3em}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;width:34%;vertical-align:top}th,td{padding:.3em .5em;border-bottom:1px solid #999}\
.secret{font:14pt/1.5 ui-monospace,monospace;overflow-wrap:anywhere}footer{margin-top:2em;font-size:9pt}\
@media print{body{margin:0;max-width:none}@page{margin:20mm}tr{break-inside:avoid}}";

/// The secrets of a device, for an envelope.
pub fn secrets(sheet: &SecretSheet) -> Response {
    page(draw_secrets(sheet))
}

/// What the police and the insurance need.
pub fn theft(sheet: &TheftSheet) -> Response {
    page(draw_theft(sheet))
}

fn page(html: String) -> Response {
    let mut response = Response::new(200, "text/html; charset=utf-8", html.into_bytes());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers.push(("content-security-policy", policy.to_owned()));
    response.headers.push(("x-content-type-options", String::from("nosniff")));
    response
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn document(title: &str, inside: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><h1>{title}</h1>{inside}</body></html>\n"
    )
}

/// A table of what is known; lines without a value are left out.
fn table(rows: &[(&str, Option<String>)]) -> String {
    let lines = rows.iter().filter_map(|(name, value)| {
        let value = escape(value.as_deref().filter(|v| !v.is_empty())?);
        Some(format!("<tr><th scope=\"row\">{}</th><td>{value}</td></tr>", escape(name)))
    });
    format!("<table>{}</table>", lines.collect::<String>())
}

fn shown(device: &DeviceRow) -> String {
    device.serial.clone().unwrap_or_else(|| device.public_id.clone())
}

fn facts(device: &DeviceRow) -> [(&'static str, Option<String>); 4] {
    [
        ("Serial number", device.serial.clone()),
        ("Name", device.name.clone()),
        ("Model", device.model_name.clone().or_else(|| device.product_name.clone())),
        ("System", device.os_version.as_ref().map(|version| format!("{} {version}", device.platform))),
    ]
}

fn draw_secrets(sheet: &SecretSheet) -> String {
    // Large enough never to be copied while it grows, and wiped: only the answer's own bytes are left.
    let mut inside = Zeroizing::new(String::with_capacity(SHEET_BYTES));
    inside.push_str(
        "<p>Put this sheet into an envelope at once, seal and sign it, and lock it away. Whoever reads it can open the device.</p>",
    );
    inside.push_str(&table(&facts(&sheet.device)));
    for secret in &sheet.secrets {
        inside.push_str(&Zeroizing::new(format!(
            "<h2>{}</h2><p class=\"secret\">{}</p><p>Generation {}, kept since {}</p>",
            escape(&secret.kind),
            *Zeroizing::new(escape(secret.value.expose())),
            secret.generation,
            secret.created_at
        )));
    }
    if !sheet.not_printed.is_empty() {
        let kinds = escape(&sheet.not_printed.join(", "));
        inside.push_str(&format!("<p>Also in custody, and of use to the server only: {kinds}.</p>"));
    }
    inside.push_str(&format!(
        "<footer>Printed {} by {}. Reason: {}. It is in the audit. When the envelope was opened, change what is on the sheet.</footer>",
        sheet.at,
        escape(&sheet.by),
        escape(&sheet.reason)
    ));
    document(&format!("Secrets of {}", shown(&sheet.device)), &inside)
}

fn draw_theft(sheet: &TheftSheet) -> String {
    let device = &sheet.device;
    let mut inside = table(&[("Owner", Some(sheet.organization.clone()))]);
    inside.push_str("<h2>The device</h2>");
    let mut rows = facts(device).to_vec();
    rows.extend([
        ("Model number", device.model.clone()),
        ("IMEI", sheet.imei.clone()),
        ("MEID", sheet.meid.clone()),
        ("UDID", sheet.udid.clone()),
    ]);
    inside.push_str(&table(&rows));
    inside.push_str("<h2>What happened</h2>");
    let marked = match device.lost {
        Lost::No => String::from("not marked"),
        state => format!("marked {} by {}", state.as_str(), device.lost_by.as_deref().unwrap_or_default()),
    };
    let lost_mode =
        if device.lost_mode { "on: locked, with a message on the screen" } else { "not confirmed by the device" };
    inside.push_str(&table(&[
        ("Mark", Some(marked)),
        ("Since", device.lost_since.map(|at| at.to_string())),
        ("Lost Mode", Some(lost_mode.to_owned())),
        ("Last heard of", sheet.last_seen.map(|at| at.to_string())),
    ]));
    inside.push_str("<h2>Last known place</h2>");
    match &sheet.last_location {
        Some(place) => {
            let rows: Vec<_> = place.place.iter().map(|(key, value)| (key.as_str(), Some(words(value)))).collect();
            inside.push_str(&table(&rows));
            inside.push_str(&format!(
                "<p>As the device said, received {}. Degrees and metres (WGS 84). A place may say where a child is: give this sheet to the \
                 police only.</p>",
                place.received_at
            ));
        }
        None => inside.push_str("<p>The device has not said where it is.</p>"),
    }
    inside.push_str(
        "<h2>For the police</h2><p>Serial number and IMEI identify the device; the network operator can block the IMEI. The device is managed \
         by its owner and stays so after it is erased where the school enrolled it through Apple. Do not try to unlock it: it reports by itself \
         when it has a network. The school can ask it again where it is, and can erase it.</p>",
    );
    inside.push_str(&format!(
        "<footer>Printed {} by {}. Reason: {}. It is in the audit. This sheet holds no password.</footer>",
        sheet.at,
        escape(&sheet.by),
        escape(&sheet.reason)
    ));
    document(&format!("Stolen or lost: {}", shown(device)), &inside)
}

fn words(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_devices_stay_text() {
        let html = document(
            "<script>",
            &table(&[("Name", Some(String::from("\"><img src=x onerror='1'>&"))), ("Empty", None)]),
        );
        assert!(!html.contains("<script>") && !html.contains("<img") && !html.contains("Empty"), "{html}");
        assert!(html.contains("&quot;&gt;&lt;img src=x onerror=&#39;1&#39;&gt;&amp;"));
    }
}
