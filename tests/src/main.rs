use std::process::ExitCode;

fn main() -> ExitCode {
    inerd::main()
}
