//! The program: its arguments go to `cordon::cli`, and an exit code comes back. Deliberately nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(u8::try_from(cordon::cli::main(std::env::args_os())).unwrap_or(u8::MAX))
}
