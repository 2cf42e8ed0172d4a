//! Makes every call of the SDK once, and some that cannot be carried out.

use killpoint_sdk as k;

fn main() {
    k::ready();
    k::heartbeat();
    k::checkpoint(7);
    k::oplog_flushed(9);
    k::intent("a b", "100% ü");
    k::ack("a b");
    k::draft("#d", "-");
    k::intent_to_delete("x");
    k::intent("e", "");
    k::intent("s", "sha256:x");
    k::intent("", "v");
    k::intent("long", &"v".repeat(5_000));
    k::shutdown();
    let supervised = if k::is_supervised() { "True" } else { "False" };
    println!("unsaid {} supervised {supervised}", k::unsaid());
}
