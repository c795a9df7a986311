//! Smart groups as rows of field, comparison and value, read back as sentences, with a count of who fits; and the fields of one's own of a
//! device or a person. A filter is text; what text means is `protocol::filter`'s to say.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Table, code, folded, note, paragraph, post_button, section, segment, text,
};
use super::{Answer, Outcome, Visit, marks};
use crate::protocol::filter::{FIELDS, Filter, Operator};
use crate::service::actor::Permission;
use crate::service::variables::{self, Whose};
use crate::service::{Error, groups};
use std::collections::BTreeMap;

const GROUPS: &str = "/console/groups";
const PATH: &str = "/console/groups/filter";
/// Rows of a form; a longer filter is written by hand.
const ROWS: usize = 5;
/// Devices that are named below the count.
const NAMED: usize = 25;

const OPERATORS: [(&str, Operator); 7] = [
    ("=", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    ("<=", Operator::AtMost),
    (">", Operator::More),
    (">=", Operator::AtLeast),
    ("contains", Operator::Contains),
];

fn field_words(v: &Visit<'_>, field: &str) -> &'static str {
    let f = &v.words.filters;
    match field {
        "platform" => f.platform,
        "model" => f.model,
        "model_name" => f.model_name,
        "product_name" => f.product_name,
        "name" => f.name,
        "serial" => f.serial,
        "os_version" => f.os_version,
        "build_version" => f.build_version,
        "supervised" => f.supervised,
        "lost" => f.lost,
        _ => f.field,
    }
}

fn operator_words(v: &Visit<'_>, operator: Operator) -> &'static str {
    let f = &v.words.filters;
    match operator {
        Operator::Equal => f.equal,
        Operator::NotEqual => f.not_equal,
        Operator::Less => f.less,
        Operator::AtMost => f.at_most,
        Operator::More => f.more,
        Operator::AtLeast => f.at_least,
        Operator::Contains => f.contains,
    }
}

/// A filter as people say it.
pub fn sentence(v: &Visit<'_>, filter: &str) -> Html {
    match Filter::parse(filter) {
        Ok(read) => paragraph(&format!("{}.", said(v, &read))),
        Err(_) => code(filter),
    }
}

fn said(v: &Visit<'_>, filter: &Filter) -> String {
    let f = &v.words.filters;
    match filter {
        Filter::Compare { field, operator, value } => {
            // What may stand there is for the form.
            let name = field_words(v, field).split(" (").next().unwrap_or_default();
            format!("{name} {} {value}", operator_words(v, *operator))
        }
        Filter::Not(inner) => format!("{} ({})", v.words.no, said(v, inner)),
        Filter::And(one, other) => format!("{} {} {}", said(v, one), f.and, said(v, other)),
        Filter::Or(one, other) => format!("{} {} {}", said(v, one), f.or, said(v, other)),
    }
}

/// Field, operator and value of each row.
type Rows = Vec<(String, &'static str, String)>;

/// A filter as rows, and whether any of them is enough; none for one that rows cannot show.
fn rows_of(filter: &Filter) -> Option<(bool, Rows)> {
    fn walk(filter: &Filter, any: bool, rows: &mut Rows) -> bool {
        match filter {
            Filter::Compare { field, operator, value } => {
                let sign = OPERATORS.iter().find(|(_, known)| known == operator).map_or("=", |(sign, _)| sign);
                rows.push(((*field).to_owned(), sign, value.clone()));
                true
            }
            Filter::And(one, other) if !any => walk(one, any, rows) && walk(other, any, rows),
            Filter::Or(one, other) if any => walk(one, any, rows) && walk(other, any, rows),
            _ => false,
        }
    }
    let any = matches!(filter, Filter::Or(..));
    let mut rows = Vec::new();
    (walk(filter, any, &mut rows) && rows.len() <= ROWS).then_some((any, rows))
}

/// The text of the rows that were filled in.
fn written(v: &Visit<'_>) -> Option<String> {
    let joint = if v.query("any").as_deref() == Some("yes") { " or " } else { " and " };
    let row = |at: usize| {
        let field = v.query(&format!("field{at}"))?;
        let field = FIELDS.into_iter().find(|known| *known == field)?;
        let sign = v.query(&format!("how{at}")).unwrap_or_default();
        let (sign, _) = OPERATORS.into_iter().find(|(known, _)| *known == sign)?;
        let value = v.query(&format!("value{at}"))?.replace('\\', "\\\\").replace('"', "\\\"");
        Some(format!("{field} {sign} \"{value}\""))
    };
    let rows: Vec<String> = (0..ROWS).filter_map(row).collect();
    (!rows.is_empty()).then(|| rows.join(joint))
}

/// The page: rows, who fits, and the name of the group to be (or the group whose filter changes).
pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::People)?;
    let (w, f) = (v.words, &v.words.filters);
    let group = v.query("group").map(|name| groups::show(v.cx, &v.actor, &name)).transpose()?;
    let there = group.as_ref().and_then(|group| group.row.filter.clone());
    let refused = || v.typed("filter").map(str::to_owned);
    let text = written(v).or_else(refused).or_else(|| there.clone());
    let rows = text.as_deref().and_then(|text| Filter::parse(text).ok()).as_ref().and_then(rows_of);
    let mut form = FormSpec::asking(PATH).rows().live(&format!("{PATH}/now"), "#fits");
    if let Some(group) = &group {
        form = form.hidden("group", &group.row.name);
    }
    let any = rows.as_ref().is_some_and(|(any, _)| *any);
    form =
        form.field(Field::choice("any", f.join, [("no", f.fits_all), ("yes", f.fits_any)]).value(any.then_some("yes")));
    for at in 0..ROWS {
        let row = rows.as_ref().and_then(|(_, rows)| rows.get(at));
        let fields =
            std::iter::once(("", f.nothing)).chain(FIELDS.into_iter().map(|name| (name, field_words(v, name))));
        let signs = OPERATORS.into_iter().map(|(sign, operator)| (sign, operator_words(v, operator)));
        let label = |words: &str| format!("{} {}: {words}", f.rule, at + 1);
        form = form
            .field(Field::choice(&format!("field{at}"), &label(f.field), fields).value(row.map(|row| row.0.as_str())))
            .field(Field::choice(&format!("how{at}"), &label(f.operator), signs).value(row.map(|row| row.1)))
            .field(Field::text(&format!("value{at}"), &label(f.value)).value(row.map(|row| row.2.as_str())));
    }
    let title = if group.is_some() { f.change } else { f.smart_new };
    let mut page = Page::new(Area::Groups, title).under(GROUPS, w.nav_groups);
    if let Some(group) = &group {
        page = page.under(format!("{GROUPS}/{}", segment(&group.row.name)), group.row.name.clone());
    }
    if rows.is_none() && there.is_some() {
        page = page.with(note(f.too_deep));
    }
    page = page.lead(f.smart_lead).with(form.button(f.count).html());
    Ok(page.with(fits(v, text.as_deref())?).into())
}

/// Only the part that follows what is typed.
pub fn now(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::People)?;
    Ok(Answer::Piece(fits(v, written(v).as_deref())?))
}

/// Who fits, and what can be done with the filter.
fn fits(v: &Visit<'_>, filter: Option<&str>) -> Result<Html, Error> {
    let (w, f) = (v.words, &v.words.filters);
    let Some(filter) = filter else { return Ok(parts::marked("fits", &Html::default())) };
    let found = groups::fitting_now(v.cx, &v.actor, filter)?;
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let said = if found.is_empty() {
        note(f.nobody_fits)
    } else {
        paragraph(&format!("{} {}", parts::grouped(count), f.devices_fit))
    };
    let rows = found
        .iter()
        .take(NAMED)
        .map(|device| vec![marks::device_link(device), marks::model(device), marks::system(device)]);
    let table = Table::new(f.who_fits).columns([w.device, w.model, w.system]).rows(rows);
    let group = v.query("group");
    let keep = match &group {
        Some(name) => FormSpec::new(&format!("{GROUPS}/{}/filter", segment(name)), &v.token)
            .hidden("filter", filter)
            .button(w.save),
        None => FormSpec::new("/console/groups/new", &v.token)
            .hidden("kind", "smart")
            .hidden("filter", filter)
            .field(Field::text("name", f.group_name).value(v.typed("name")).required())
            .button(w.add),
    };
    let mut body = vec![sentence(v, filter), said, keep.html()];
    if !found.is_empty() {
        body.push(table.html());
    }
    if found.len() > NAMED {
        body.push(note(&format!("{} {}", found.len() - NAMED, w.and_more)));
    }
    body.push(parts::row([text(f.as_written), code(filter)]).into_paragraph());
    Ok(parts::marked("fits", &section(f.who_fits, body)))
}

/// Keeps the changed filter of a group.
pub fn keep(v: &Visit<'_>, name: &str, form: &Form) -> Outcome {
    let change = groups::Change { filter: form.some("filter"), ..groups::Change::default() };
    groups::change(v.cx, &v.actor, name, &change)?;
    Ok(Answer::To(format!("{GROUPS}/{}?said=done", segment(name))))
}

// ---- fields of one's own

/// The fields of a device or person, on their page; `path` is that page's.
///
/// # Errors
/// As the list itself.
pub fn own_fields(v: &Visit<'_>, whose: Whose<'_>, path: &str) -> Result<Html, Error> {
    let (w, f) = (v.words, &v.words.filters);
    if !v.may(Permission::LookAround) {
        return Ok(Html::default());
    }
    let kind = if matches!(whose, Whose::Device(_)) { "device" } else { "user" };
    let found = variables::list(v.cx, &v.actor, whose)?;
    let may = v.may(Permission::People);
    let line = |(name, value): &(String, String)| {
        let out = if may {
            post_button(&format!("{path}/fields?out={}", segment(name)), &v.token, w.take_out, name)
        } else {
            Html::default()
        };
        vec![code(&format!("{{{{{kind}.{name}}}}}")), text(value), out]
    };
    let table = Table::new(f.own_fields).columns([f.field_name, f.value, ""]).rows(found.iter().map(line));
    let mut body = vec![note(f.own_fields_hint), table.empty(f.field_none).html()];
    if may {
        let form = FormSpec::new(&format!("{path}/fields"), &v.token)
            .field(Field::text("field", f.field_name).hint(f.field_name_hint).value(v.typed("field")).required())
            .field(Field::text("value", f.value).value(v.typed("value")).required());
        body.push(form.button(f.field_set).html());
    }
    Ok(folded(&format!("{} ({})", f.own_fields, found.len()), body))
}

/// Sets one, or takes one away.
pub fn change_field(v: &Visit<'_>, whose: Whose<'_>, path: &str, form: &Form) -> Outcome {
    let mut changes = BTreeMap::new();
    match v.query("out") {
        Some(name) => changes.insert(name, None),
        None => changes.insert(form.text("field").to_owned(), form.some("value")),
    };
    variables::change(v.cx, &v.actor, whose, &changes)?;
    Ok(Answer::To(format!("{path}?said=done")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_rows_where_rows_can_say_it() {
        let rows = |text: &str| rows_of(&Filter::parse(text).unwrap());
        let (any, found) = rows("platform = iPadOS and os_version < 17").unwrap();
        assert!(!any && found.len() == 2 && found[1] == (String::from("os_version"), "<", String::from("17")));
        assert!(rows("name contains a or name contains b or serial = X").unwrap().0);
        assert!(rows("platform = iPadOS and (name = a or name = b)").is_none());
        assert!(rows("not (platform = iPadOS)").is_none());
    }
}
