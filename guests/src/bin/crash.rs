//! Dies by a defect of its own, three functions deep: `crash segv|abort|wait`, after a line on standard input; with `wait`
//! it only waits, to be looked at. `crash thread segv` does it in a second thread, `crash child segv` in a child process.

#![expect(unsafe_code, reason = "a fault needs a pointer that points nowhere")]

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::{env, io, thread};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let how = words.next().unwrap_or_default();
    match how.as_str() {
        "thread" => {
            let how = words.next().unwrap_or_default();
            let _ = thread::spawn(move || open_document(&how)).join();
        }
        "child" => {
            let how = words.next().unwrap_or_default();
            let child = Command::new(env::current_exe().expect("this program")).arg(how).status();
            println!("the child ended: {}", child.expect("it started"));
        }
        how => open_document(how),
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn open_document(how: &str) {
    println!("waits for a line");
    let mut line = String::new();
    let _ = io::stdin().read_line(&mut line);
    read_page(black_box(how));
    black_box(());
}

#[inline(never)]
fn read_page(how: &str) {
    match how {
        "segv" => follow_pointer(black_box(0x10)),
        "abort" => std::process::abort(),
        _ => {}
    }
    black_box(());
}

#[inline(never)]
fn follow_pointer(address: usize) {
    // SAFETY: none: it is the defect that this program is about.
    black_box(unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() });
}
