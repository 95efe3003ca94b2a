//! The benchmarks: `just bench [NAME]`.

mod house;

fn main() -> std::process::ExitCode {
    house::main()
}
