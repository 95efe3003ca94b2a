//! The `failback` command; everything is in the library.

fn main() -> std::process::ExitCode {
    failback::cli::main()
}
