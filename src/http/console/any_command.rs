//! Every command that Apple's schema has, for one device: what would become of each, a form that follows from the schema, and a property
//! list of one's own with a warning. What erases, unlocks or removes asks for the device's name.

use super::form::Form;
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, button_link, code, folded, link, named, note, paragraph, section,
};
use super::{Answer, Outcome, Visit, actions, device, forecast, marks, schema_form, timing};
use crate::base::texts::Text;
use crate::plist::Dictionary;
use crate::protocol::catalogue::{self, CommandSpec};
use crate::protocol::command::parse_raw;
use crate::service::actor::Permission;
use crate::service::commands::{self, Wish};
use crate::service::forecasting::{self, Question};
use crate::service::unlocking::Stated;
use crate::service::{Error, devices};
use crate::store::DeviceRow;

/// The page for a property list of one's own stands beside those of the commands under this name.
const RAW: &str = "raw";

fn path(device: &DeviceRow) -> String {
    format!("{}/command", marks::device_path(&device.public_id))
}

fn question(device: &DeviceRow, request_type: &str) -> Question {
    let (request_type, devices) = (request_type.to_owned(), vec![device.public_id.clone()]);
    Question { request_type, devices, ..Question::default() }
}

/// All of them: those that would run here, and those that would not.
pub fn choose(v: &Visit<'_>, id: &str) -> Outcome {
    v.actor.require(Permission::Ask)?;
    let (w, s) = (v.words, &v.words.schema);
    let device = devices::show(v.cx, &v.actor, id)?;
    let path = path(&device.row);
    let (mut able, mut unable) = (Vec::new(), Vec::new());
    let none = Dictionary::new();
    for spec in catalogue::list().iter().filter(|spec| v.may(commands::needs(spec.request_type, &none))) {
        let (_, found) = forecasting::check(v.cx, &v.actor, &question(&device.row, spec.request_type))?;
        let Some(one) = found.first() else { continue };
        let said = w.request(spec.request_type);
        let under = if said == spec.request_type { "" } else { spec.request_type };
        let name = named(link(&format!("{path}/{}", spec.request_type), &said), under);
        let why = forecast::words(&one.reasons);
        if one.will_run { able.push(vec![name, why]) } else { unable.push(vec![name, why]) }
    }
    let table = |title: &str, rows: Vec<Vec<Html>>| {
        Table::new(title).columns([w.command, w.deeds.why_not]).rows(rows).empty(w.nobody).html()
    };
    let mut page = device::page(v, &device, s.any_command).lead(s.any_command_lead);
    if v.may(Permission::Destroy) {
        page = page.action(button_link(&format!("{path}/{RAW}"), s.raw_link));
    }
    let page = page.with(section(s.any_command_here, [table(s.any_command_here, able)]));
    Ok(page.with(folded(s.any_command_others, [table(s.any_command_others, unable)])).into())
}

fn find(v: &Visit<'_>, request_type: &str) -> Result<&'static CommandSpec, Error> {
    catalogue::find(request_type).ok_or_else(|| super::nothing_here(v))
}

/// The form of one command, with what would become of it.
pub fn show(v: &Visit<'_>, id: &str, request_type: &str) -> Outcome {
    if request_type == RAW {
        return raw(v, id);
    }
    let (w, s) = (v.words, &v.words.schema);
    let spec = find(v, request_type)?;
    let needs = commands::needs(spec.request_type, &Dictionary::new());
    v.actor.require(needs)?;
    let device = devices::show(v.cx, &v.actor, id)?;
    let path = path(&device.row);
    let mut form = FormSpec::new(&format!("{path}/{}", spec.request_type), &v.token);
    form = schema_form::fields(v, form, &spec.keys);
    if spec.platforms.iter().any(|platform| platform.user_channel) {
        form = form.field(Field::text("cordon_user", s.for_user).hint(s.for_user_hint).value(v.typed("cordon_user")));
    }
    form = stated(v, timing::folded(v, form)?, &device.row, spec.request_type, needs);
    let button = if needs == Permission::Destroy { form.danger(s.send) } else { form.button(s.send) };
    let about = if spec.keys.is_empty() { note(s.no_keys) } else { Html::default() };
    let ahead = forecast::of_one(v, &device.row, &question(&device.row, spec.request_type))?;
    let said = w.request(spec.request_type);
    let page = device::page(v, &device, &said).under(path, s.any_command).mark(code(spec.request_type));
    Ok(page.with(ahead).with(section(w.command, [about, button.html()])).into())
}

/// What must be said beside the keys.
fn stated(v: &Visit<'_>, mut form: FormSpec, device: &DeviceRow, request_type: &str, needs: Permission) -> FormSpec {
    let d = &v.words.deeds;
    match request_type {
        "ClearPasscode" => {
            form = form.field(
                Field::text("possession", d.possession).hint(d.possession_hint).value(v.typed("possession")).required(),
            );
        }
        "EraseDevice" | "DisableLostMode" | "DeviceLocation" | RAW => {
            let field = Field::text("reason", d.reason).hint(d.reason_hint).value(v.typed("reason"));
            form = form.field(if request_type == RAW { field } else { field.required() });
        }
        _ => {}
    }
    if needs == Permission::Destroy { form.field(actions::name_typed_back(v, device)) } else { form }
}

fn raw(v: &Visit<'_>, id: &str) -> Outcome {
    v.actor.require(Permission::Destroy)?;
    let s = &v.words.schema;
    let device = devices::show(v.cx, &v.actor, id)?;
    let path = path(&device.row);
    let form = FormSpec::new(&format!("{path}/{RAW}"), &v.token)
        .field(Field::area("plist", s.raw_label).hint(s.raw_hint).value(v.typed("plist")).required())
        .field(Field::tick("sure", s.raw_sure).required());
    let form = stated(v, timing::folded(v, form)?, &device.row, RAW, Permission::Destroy).danger(s.send);
    let warning = [badge(Mood::Bad, v.words.deeds.cannot_be_undone).into_paragraph(), paragraph(s.raw_warning)];
    let page =
        device::page(v, &device, s.raw).under(path, s.any_command).with(section(v.words.deeds.what_it_does, warning));
    Ok(page.with(form.html()).into())
}

/// Sends it.
pub fn send(v: &Visit<'_>, id: &str, request_type: &str, form: &Form) -> Outcome {
    let device = devices::show(v.cx, &v.actor, id)?;
    let wish = if request_type == RAW {
        actions::require_its_name(v, &device.row, form)?;
        let parsed = parse_raw(form.text("plist").as_bytes());
        let (uuid, request_type, keys) =
            parsed.map_err(|error| Error::invalid(Text::BadPlist { why: error.to_string() }))?;
        Wish { uuid, unchecked: true, ..actions::wish(&request_type, keys) }
    } else {
        let spec = find(v, request_type)?;
        let json = schema_form::read(form, &spec.keys)?;
        let keys = catalogue::from_json(spec.request_type, &json)
            .map_err(|error| Error::invalid(Text::CommandDoubt { finding: error.to_string() }))?;
        if commands::needs(spec.request_type, &keys) == Permission::Destroy {
            actions::require_its_name(v, &device.row, form)?;
        }
        Wish { user: form.some("cordon_user"), ..actions::wish(spec.request_type, keys) }
    };
    let stated = Stated { possession: form.some("possession"), reason: form.some("reason") };
    let wish = timing::at_its_time(v, form, wish)?;
    let sent = commands::send_stating(v.cx, &v.actor, id, &wish, &stated)?;
    Ok(Answer::To(format!("/console/commands/{}?said=queued", parts::segment(&sent.delivery.command))))
}
