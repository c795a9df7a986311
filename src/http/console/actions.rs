//! What can be done to a device: each with a page that says what it does, how the device stands now, and what must be stated first. Whether
//! it may be done is decided by the verbs.

use super::form::Form;
use super::parts::{Field, FormSpec, Html, Mood, badge, facts, note, paragraph, prose, section, text};
use super::texts::Words;
use super::{Answer, Outcome, Visit, device, forecast, marks, timing};
use crate::base::texts::Text;
use crate::plist::{Dictionary, Value};
use crate::service::actor::Permission;
use crate::service::commands::{self, Wish};
use crate::service::forecasting::Question;
use crate::service::lost::{self, Notice};
use crate::service::unlocking::Stated;
use crate::service::{Error, channels, devices, leaving, school};
use crate::store::{DeviceRow, Lost};

/// The words of a deed.
pub struct Said {
    /// On the button that leads there.
    pub name: &'static str,
    /// What it does, with its consequences.
    pub does: &'static str,
    /// On the button that does it.
    pub button: &'static str,
}

/// Something that can be done to a device.
pub struct Deed {
    pub verb: &'static str,
    pub needs: Permission,
    /// Common enough to stand on top.
    pub first: bool,
    pub grave: bool,
    /// The name of the device must be typed back.
    named: bool,
    /// The command that it becomes, for the look ahead; none for what only the server does.
    sends: Option<&'static str>,
    pub words: fn(&'static Words) -> Said,
    offered: fn(&DeviceRow) -> bool,
    fields: fn(&Visit<'_>, &DeviceRow) -> Vec<Field>,
}

fn is_mac(device: &DeviceRow) -> bool {
    device.platform == "macOS"
}

fn is_phone(device: &DeviceRow) -> bool {
    matches!(device.platform.as_str(), "iOS" | "iPadOS" | "unknown")
}

fn is_missed(device: &DeviceRow) -> bool {
    device.lost != Lost::No || device.lost_mode
}

fn no_fields(_: &Visit<'_>, _: &DeviceRow) -> Vec<Field> {
    Vec::new()
}

fn reason(v: &Visit<'_>) -> Field {
    Field::text("reason", v.words.deeds.reason).hint(v.words.deeds.reason_hint).value(v.typed("reason")).required()
}

fn pin(v: &Visit<'_>) -> Field {
    Field::text("pin", v.words.deeds.pin).hint(v.words.deeds.pin_hint).value(v.typed("pin")).required()
}

fn said(name: &'static str, does: &'static str, button: &'static str) -> Said {
    Said { name, does, button }
}

/// Everything, in the order in which it is offered.
pub static DEEDS: [Deed; 12] = [
    Deed {
        verb: "lock",
        needs: Permission::Destroy,
        first: true,
        grave: false,
        named: true,
        sends: Some("DeviceLock"),
        words: |w| said(w.deeds.lock, w.deeds.lock_does, w.deeds.lock_button),
        offered: |d| is_phone(d) || is_mac(d),
        fields: |v, d| {
            let mut all = vec![
                Field::text("message", v.words.deeds.message).value(v.typed("message")),
                Field::text("phone", v.words.deeds.phone).value(v.typed("phone")),
            ];
            if is_mac(d) {
                all.push(pin(v));
            }
            all
        },
    },
    Deed {
        verb: "restart",
        needs: Permission::Command,
        first: false,
        grave: false,
        named: false,
        sends: Some("RestartDevice"),
        words: |w| said(w.deeds.restart, w.deeds.restart_does, w.deeds.restart_button),
        offered: |_| true,
        fields: no_fields,
    },
    Deed {
        verb: "shut-down",
        needs: Permission::Command,
        first: false,
        grave: false,
        named: false,
        sends: Some("ShutDownDevice"),
        words: |w| said(w.deeds.shut_down, w.deeds.shut_down_does, w.deeds.shut_down_button),
        offered: |d| is_phone(d) || is_mac(d),
        fields: no_fields,
    },
    Deed {
        verb: "clear-passcode",
        needs: Permission::Destroy,
        first: false,
        grave: true,
        named: true,
        sends: Some("ClearPasscode"),
        words: |w| said(w.deeds.clear_passcode, w.deeds.clear_passcode_does, w.deeds.clear_passcode_button),
        offered: |d| is_phone(d) && !is_missed(d),
        fields: |v, _| {
            let w = v.words;
            vec![
                Field::text("possession", w.deeds.possession)
                    .hint(w.deeds.possession_hint)
                    .value(v.typed("possession"))
                    .required(),
            ]
        },
    },
    Deed {
        verb: "lost",
        needs: Permission::Ask,
        first: false,
        grave: false,
        named: false,
        sends: Some("EnableLostMode"),
        words: |w| said(w.deeds.lost, w.deeds.lost_does, w.deeds.lost_button),
        offered: |d| d.lost == Lost::No,
        fields: |v, d| {
            let w = v.words;
            let mut all = vec![
                Field::text("message", w.deeds.message).hint(w.deeds.lost_message_hint).value(v.typed("message")),
                Field::text("phone", w.deeds.phone).value(v.typed("phone")),
                Field::text("footnote", w.deeds.footnote).value(v.typed("footnote")),
            ];
            if !is_phone(d) {
                all.clear();
            }
            all.push(Field::tick("missing", w.deeds.missing).hint(w.deeds.missing_hint).value(v.typed("missing")));
            all
        },
    },
    Deed {
        verb: "found",
        needs: Permission::Destroy,
        first: true,
        grave: false,
        named: false,
        sends: Some("DisableLostMode"),
        words: |w| said(w.deeds.found, w.deeds.found_does, w.deeds.found_button),
        offered: is_missed,
        fields: |v, _| vec![reason(v)],
    },
    Deed {
        verb: "locate",
        needs: Permission::Reveal,
        first: false,
        grave: false,
        named: false,
        sends: Some("DeviceLocation"),
        words: |w| said(w.deeds.locate, w.deeds.locate_does, w.deeds.locate_button),
        offered: |d| is_missed(d) && is_phone(d),
        fields: |v, _| vec![reason(v)],
    },
    Deed {
        verb: "whereabouts",
        needs: Permission::Reveal,
        first: false,
        grave: false,
        named: false,
        sends: None,
        words: |w| said(w.deeds.whereabouts, w.deeds.whereabouts_does, w.deeds.whereabouts_button),
        offered: |d| is_missed(d) && is_phone(d),
        fields: |v, _| vec![reason(v)],
    },
    Deed {
        verb: "erase",
        needs: Permission::Destroy,
        first: false,
        grave: true,
        named: true,
        sends: Some("EraseDevice"),
        words: |w| said(w.deeds.erase, w.deeds.erase_does, w.deeds.erase_button),
        offered: |_| true,
        fields: |v, d| {
            let mut all = vec![reason(v)];
            if is_mac(d) {
                all.push(pin(v));
            }
            all
        },
    },
    Deed {
        verb: "remove",
        needs: Permission::Destroy,
        first: false,
        grave: true,
        named: true,
        sends: Some("RemoveProfile"),
        words: |w| said(w.deeds.remove, w.deeds.remove_does, w.deeds.remove_button),
        offered: |_| true,
        fields: no_fields,
    },
    Deed {
        verb: "block",
        needs: Permission::Destroy,
        first: false,
        grave: true,
        named: true,
        sends: None,
        words: |w| said(w.deeds.block, w.deeds.block_does, w.deeds.block_button),
        offered: |_| true,
        fields: no_fields,
    },
    Deed {
        verb: "unblock",
        needs: Permission::Destroy,
        first: false,
        grave: false,
        named: false,
        sends: None,
        words: |w| said(w.deeds.unblock, w.deeds.unblock_does, w.deeds.unblock_button),
        offered: |_| true,
        fields: no_fields,
    },
];

impl Deed {
    /// What is as good tonight as now; the others are wanted at once or not at all.
    fn may_wait(&self) -> bool {
        matches!(self.verb, "restart" | "shut-down")
    }
}

/// What this actor may do to this device.
pub fn offered<'a>(v: &'a Visit<'_>, device: &'a DeviceRow) -> impl Iterator<Item = &'static Deed> {
    DEEDS.iter().filter(move |deed| v.may(deed.needs) && (deed.offered)(device))
}

pub fn find(verb: &str) -> Option<&'static Deed> {
    DEEDS.iter().find(|deed| deed.verb == verb)
}

/// The page before it is done.
pub fn show(v: &Visit<'_>, id: &str, deed: &Deed) -> Outcome {
    v.actor.require(deed.needs)?;
    let w = v.words;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let words = (deed.words)(w);
    let mut does = vec![paragraph(words.does)];
    if deed.grave {
        does.insert(0, badge(Mood::Bad, w.deeds.cannot_be_undone).into_paragraph());
    }
    let stories = channels::explain(v.cx, &v.actor, &shown.row.public_id, None)?;
    let now: Vec<Html> = stories
        .iter()
        .filter(|story| story.view.row.parent.is_none())
        .flat_map(|story| {
            let ahead = story.view.waiting;
            let queue = (ahead > 0).then(|| note(&format!("{ahead} {}", w.deeds.ahead)));
            story.words.iter().map(|words| prose(words).into_paragraph()).chain(queue)
        })
        .collect();
    let path = format!("{}/{}", marks::device_path(&shown.row.public_id), deed.verb);
    let mut form = FormSpec::new(&path, &v.token);
    for field in (deed.fields)(v, &shown.row) {
        form = form.field(field);
    }
    if deed.may_wait() {
        form = timing::folded(v, form)?;
    }
    if deed.named {
        form = form.field(name_typed_back(v, &shown.row));
    }
    let form = if deed.grave { form.danger(words.button) } else { form.button(words.button) };
    let page = device::page(v, &shown, words.name).with(section(w.deeds.what_it_does, does));
    let page = match deed.sends {
        Some(request_type) => page.with(forecast::of_one(v, &shown.row, &question(v, &shown.row, request_type)?)?),
        None => page,
    };
    let page = if now.is_empty() { page } else { page.with(section(w.deeds.how_it_stands, now)) };
    Ok(page.with(form.html()).into())
}

/// What the look ahead asks about.
fn question(v: &Visit<'_>, device: &DeviceRow, request_type: &str) -> Result<Question, Error> {
    let mut keys = Dictionary::new();
    if request_type == "RemoveProfile" {
        // Management itself, which needs no right.
        keys.insert(String::from("Identifier"), Value::String(school::payload_identifier(v.cx)?));
    }
    let (request_type, devices) = (request_type.to_owned(), vec![device.public_id.clone()]);
    Ok(Question { request_type, keys, devices, group: None, user: None })
}

/// So that nothing grave is done to the device beside.
pub fn name_typed_back(v: &Visit<'_>, device: &DeviceRow) -> Field {
    let hint = format!("{} {}", v.words.deeds.type_name_hint, marks::device_name(device));
    Field::text("device_name", v.words.deeds.type_name).hint(&hint).value(v.typed("device_name")).required()
}

/// # Errors
/// `Invalid` when something else was typed.
pub fn require_its_name(v: &Visit<'_>, device: &DeviceRow, form: &Form) -> Result<(), Error> {
    let typed = form.text("device_name");
    if typed == marks::device_name(device).trim() || Some(typed) == device.serial.as_deref() {
        return Ok(());
    }
    let why = v.words.deeds.not_its_name.to_owned();
    Err(Error::invalid(Text::BadArgument { key: v.words.deeds.type_name.to_owned(), why }))
}

/// A wish for one command, checked by Apple's schema.
pub fn wish(request_type: &str, keys: Dictionary) -> Wish {
    let request_type = request_type.to_owned();
    Wish { request_type, keys, user: None, uuid: None, not_before: None, expires_at: None, unchecked: false }
}

/// Does it.
pub fn act(v: &Visit<'_>, id: &str, deed: &Deed, form: &Form) -> Outcome {
    let (cx, actor) = (v.cx, &v.actor);
    let back = |said: &str| Ok(Answer::To(format!("{}?said={said}", marks::device_path(id))));
    let send = |request_type: &str, pairs: &[(&str, &str)], stated: Stated| -> Outcome {
        let keys: Dictionary = pairs
            .iter()
            .filter_map(|(key, field)| Some(((*key).to_owned(), Value::String(form.some(field)?))))
            .collect();
        let mut wish = wish(request_type, keys);
        if deed.may_wait() {
            wish = timing::at_its_time(v, form, wish)?;
        }
        let sent = commands::send_stating(cx, actor, id, &wish, &stated)?;
        Ok(Answer::To(format!("/console/commands/{}?said=queued", sent.delivery.command)))
    };
    if deed.named {
        require_its_name(v, &devices::show(cx, actor, id)?.row, form)?;
    }
    let stated = Stated { possession: form.some("possession"), reason: form.some("reason") };
    match deed.verb {
        "lock" => send("DeviceLock", &[("Message", "message"), ("PhoneNumber", "phone"), ("PIN", "pin")], stated),
        "restart" => send("RestartDevice", &[], stated),
        "shut-down" => send("ShutDownDevice", &[], stated),
        "clear-passcode" => send("ClearPasscode", &[], stated),
        "erase" => send("EraseDevice", &[("PIN", "pin")], stated),
        "lost" => {
            let (message, phone, footnote) = (form.some("message"), form.some("phone"), form.some("footnote"));
            lost::mark(cx, actor, id, &Notice { message, phone, footnote, missing: form.ticked("missing") })?;
            back("marked")
        }
        "found" => {
            lost::found(cx, actor, id, form.text("reason"))?;
            back("marked")
        }
        "locate" => {
            lost::locate(cx, actor, id, form.text("reason"))?;
            back("queued")
        }
        "whereabouts" => whereabouts(v, id, form),
        "remove" => {
            leaving::remove(cx, actor, id)?;
            back("queued")
        }
        "block" => {
            leaving::block(cx, actor, id)?;
            back("done")
        }
        _ => {
            leaving::unblock(cx, actor, id)?;
            back("done")
        }
    }
}

/// Where the device said it was; shown once, for a stated reason.
fn whereabouts(v: &Visit<'_>, id: &str, form: &Form) -> Outcome {
    let found = lost::whereabouts(v.cx, &v.actor, id, form.text("reason"))?;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let pairs: Vec<(String, Html)> = found
        .place
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name.replace('_', " "), text(&value))
        })
        .collect();
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let page = device::page(v, &shown, v.words.deeds.whereabouts);
    let at = super::parts::when(found.received_at, v.now).into_paragraph();
    Ok(page.with(section(v.words.deeds.where_it_was, [at, facts(pairs)])).into())
}
