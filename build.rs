//! Hands the linker the order of functions in the released program, `packaging/layout/at-rest.ld`, where that is understood.
//!
//! Compilers lay functions out by where they were written, so a server at rest touches a page here and a page there of nearly the
//! whole program, and the kernel maps sixteen for each. With those functions side by side it is less than half (ARCHITECTURE.md says
//! more). A name that is in the list and not in the program is passed over, so a stale list costs memory
//! and nothing else; `scripts/layout` makes it anew.

use std::env::var;

const ORDER: &str = "packaging/layout/at-rest.ld";

fn main() {
    println!("cargo:rerun-if-changed={ORDER}");
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| var(name).is_ok_and(|value| value == wanted);
    // Only what is measured and shipped; mold knows no such lists.
    let knows_lists =
        is("CARGO_CFG_TARGET_OS", "linux") && !var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("mold"));
    if let (true, true, Ok(here)) = (knows_lists, is("PROFILE", "release"), var("CARGO_MANIFEST_DIR")) {
        println!("cargo:rustc-link-arg-bins=-T{here}/{ORDER}");
    }
}
