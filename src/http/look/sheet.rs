//! A sheet of invitations to print and cut: one code and one QR code each. Made once, when the codes are; it stands for itself, so that
//! it prints from a file without a server.

use super::qr;
use askama::Template;

/// One invitation on the sheet.
pub struct Ticket {
    pub recipient: String,
    pub class: Option<String>,
    /// In groups, as it is typed.
    pub code: String,
    /// The page with the code filled in.
    pub url: String,
    /// How many devices, when more than one.
    pub uses: i64,
    /// A day, such as 2026-12-24.
    pub until: String,
}

struct Drawn {
    ticket: Ticket,
    svg: String,
}

#[derive(Template)]
#[template(path = "look/sheet.html")]
struct Sheet<'a> {
    school: &'a str,
    /// Without scheme, as it is typed into the address bar.
    address: &'a str,
    style: &'a str,
    tickets: Vec<Drawn>,
}

/// The whole document.
pub fn sheet(school: &str, page: &str, tickets: Vec<Ticket>) -> Result<String, askama::Error> {
    let tickets = tickets
        .into_iter()
        .map(|ticket| {
            let label = format!("QR code of the invitation for {}", ticket.recipient);
            Drawn { svg: qr::svg(&ticket.url, &label).unwrap_or_default(), ticket }
        })
        .collect();
    let address = page.strip_prefix("https://").unwrap_or(page);
    Sheet { school, address, style: include_str!("sheet.css"), tickets }.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ticket_each_and_nothing_is_markup() {
        let ticket = |recipient: &str| Ticket {
            recipient: recipient.into(),
            class: Some("7b".into()),
            code: "k7m2-p9xw-4htz".into(),
            url: "https://mdm.hill.example/enroll?code=k7m2-p9xw-4htz".into(),
            uses: 1,
            until: "2026-12-24".into(),
        };
        let html =
            sheet("Hill & Sons", "https://mdm.hill.example/enroll", vec![ticket("Ada"), ticket("<script>")]).unwrap();
        assert_eq!(html.matches("class=\"ticket\"").count(), 2);
        assert_eq!(html.matches("<svg").count(), 2);
        assert!(html.contains("mdm.hill.example/enroll") && !html.contains("<script"));
        assert!(html.contains("break-inside: avoid") && html.contains("@page"));
    }
}
