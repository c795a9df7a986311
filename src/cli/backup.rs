//! `cordon backup`: a complete copy of the database now, under a running server or without one; and those that the server made.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Table, cell};
use super::voice::Voice;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon backup
  cordon backup --output /media/usb/school.db
  cordon backup --list

The running server makes a backup every hour in which something changed and keeps 24 hourly, 14 daily and 12 monthly ones in backup/
beside the database. Each is one complete file: plain cp of it is a copy too. It opens with this machine's key or with the
recovery code: cordon restore FILE --verify")]
pub struct Args {
    /// Also write it here; what was there is replaced
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    output: Option<PathBuf>,
    /// Show the backups that there are
    #[arg(long)]
    list: bool,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if args.list {
        let (items, _) = api.list(&Call::get("/api/v1/backup"), None)?;
        return voice.show(&json!({ "items": items }), || {
            let mut table = Table::new(&["TAKEN", "SIZE", "FILE"]);
            items.iter().for_each(|item| table.row([cell(item, "taken_at"), megabytes(item), cell(item, "path")]));
            table.render()
        });
    }
    let mut made = api.json(&Call::post_json("/api/v1/backup", &Value::Null))?;
    if let Some(output) = &args.output {
        let path = made["path"].as_str().map(PathBuf::from);
        let path = path.ok_or_else(|| Failure::new("server", "the server did not say where the backup is"))?;
        copy(&path, output)?;
        made["output"] = json!(output);
    }
    voice.show(&made, || {
        let output =
            args.output.as_ref().map(|output| format!("A copy is in {}.\n", output.display())).unwrap_or_default();
        format!("{} ({})\n{output}", cell(&made, "path"), megabytes(&made))
    })?;
    voice.advise("Keep copies on another disk or machine, and the recovery code apart from them.");
    Ok(())
}

fn megabytes(item: &Value) -> String {
    format!("{:.1} MB", item["bytes"].as_f64().unwrap_or_default() / 1_048_576.0)
}

/// Written whole or not at all, for the owner's eyes only.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file("write", to, &error);
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut source = File::open(from).map_err(|error| Failure::file("read", from, &error))?;
    let needed = source.metadata().map_err(failed)?.len();
    if fs2::available_space(directory).map_err(failed)? < needed {
        let words = format!("{} has no room for {} MB", directory.display(), needed.div_ceil(1_048_576));
        return Err(Failure::new("no-room", words));
    }
    let mut target = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    std::io::copy(&mut source, &mut target).map_err(failed)?;
    target.as_file().sync_all().map_err(failed)?;
    target.persist(to).map_err(|error| failed(error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn made_copied_out_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let (made, wanted) = (dir.path().join("cordon-20261122T120000Z.db"), dir.path().join("usb.db"));
        std::fs::write(&made, "bytes").unwrap();
        std::fs::write(&wanted, "of last week").unwrap();
        let item = json!({"path": made, "bytes": 5, "taken_at": "2026-11-22T12:00:00Z"});
        let answer = item.clone();
        let fake = Fake::new(move |call| match call.method {
            "POST" => (201, answer.clone()),
            _ => (200, json!({"items": [answer]})),
        });
        let args = Args { output: Some(wanted.clone()), list: false };
        let (done, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.is_ok() && out.contains("usb.db"), "{out}");
        assert_eq!(std::fs::read(&wanted).unwrap(), b"bytes");
        let (done, out, _) = heard(false, |voice| run(&fake, &Args { output: None, list: true }, voice));
        assert!(done.is_ok() && out.contains("2026-11-22T12:00:00Z"), "{out}");
        let nowhere = Args { output: Some(dir.path().join("no/such/usb.db")), list: false };
        assert!(heard(false, |voice| run(&fake, &nowhere, voice)).0.is_err());
    }
}
