//! The program; the library explains it.

use std::process::ExitCode;

fn main() -> ExitCode {
    area_net_lab::main()
}
