//! `cordon man` and `cordon completions`: the man page and shell completions, made from the same arguments that the program reads.

use super::args::Cli;
use super::failure::Failure;
use super::voice::Voice;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon completions bash > /etc/bash_completion.d/cordon
  cordon completions zsh > ~/.zfunc/_cordon
  cordon completions fish > ~/.config/fish/completions/cordon.fish")]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

/// The man page, with all subcommands in one page.
pub fn man(voice: &mut Voice<'_>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("output", error.to_string());
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut page).map_err(failed)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        describe(sub, &format!("cordon {}", sub.get_name()), &mut page).map_err(failed)?;
    }
    voice.data(&page)
}

/// One subcommand and those below it, as a section of the page.
fn describe(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut text = format!("\n.SH \"{}\"\n", name.to_uppercase());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    text.push_str(&format!("{}\n", escape(&about)));
    let options =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help");
    for arg in options {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escape(&arg.to_string()), escape(&help)));
    }
    if let Some(more) = command.get_after_help() {
        let lines: String = more.to_string().lines().map(|line| escape(line) + "\n").collect();
        text.push_str(&format!(".PP\n.nf\n{lines}.fi\n"));
    }
    page.extend_from_slice(text.as_bytes());
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        describe(sub, &format!("{name} {}", sub.get_name()), page)?;
    }
    Ok(())
}

/// Text that roff does not obey.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}

pub fn completions(args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cordon", &mut script);
    voice.data(&script)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::heard;
    use super::*;

    #[test]
    fn every_subcommand_is_in_the_man_page_and_in_the_completions() {
        let (done, page, _) = heard(false, man);
        assert!(done.is_ok() && page.contains(".TH"), "{page}");
        let (done, script, _) = heard(false, |voice| completions(&Args { shell: Shell::Bash }, voice));
        assert!(done.is_ok());
        for sub in Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
            assert!(page.contains(&format!("CORDON {}", sub.get_name().to_uppercase())), "{}", sub.get_name());
            assert!(script.contains(sub.get_name()), "{}", sub.get_name());
        }
    }
}
