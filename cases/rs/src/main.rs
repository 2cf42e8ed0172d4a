//! `cases-rs STORE setup|work|check`: drives one embedded store under the ack journal. `CASES_REPEAT` makes the
//! workload so many times as long.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

type Map = BTreeMap<String, String>;

trait Store {
    fn put(&mut self, key: &str, value: &str);
    fn delete(&mut self, key: &str);
    fn dump(&mut self) -> Map;
}

struct Sled(sled::Db);

impl Store for Sled {
    fn put(&mut self, key: &str, value: &str) {
        self.0.insert(key, value).unwrap();
        self.0.flush().unwrap();
    }
    fn delete(&mut self, key: &str) {
        self.0.remove(key).unwrap();
        self.0.flush().unwrap();
    }
    fn dump(&mut self) -> Map {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.iter().map(|row| row.map(|(k, v)| (text(&k), text(&v))).unwrap()).collect()
    }
}

const TABLE: redb::TableDefinition<&str, &str> = redb::TableDefinition::new("t");
struct Redb(redb::Database);

impl Store for Redb {
    fn put(&mut self, key: &str, value: &str) {
        let write = self.0.begin_write().unwrap();
        write.open_table(TABLE).unwrap().insert(key, value).unwrap();
        write.commit().unwrap();
    }
    fn delete(&mut self, key: &str) {
        let write = self.0.begin_write().unwrap();
        write.open_table(TABLE).unwrap().remove(key).unwrap();
        write.commit().unwrap();
    }
    fn dump(&mut self) -> Map {
        use redb::ReadableTable;
        let read = self.0.begin_read().unwrap();
        let table = read.open_table(TABLE).unwrap();
        let rows = table.iter().unwrap();
        rows.map(|row| row.map(|(k, v)| (k.value().into(), v.value().into())).unwrap()).collect()
    }
}

/// The idiom of many settings stores: serialise everything, `std::fs::write` it in place.
struct Json(PathBuf, Map);

impl Json {
    fn save(&self) {
        fs::write(&self.0, serde_json::to_vec(&self.1).unwrap()).unwrap();
    }
}

impl Store for Json {
    fn put(&mut self, key: &str, value: &str) {
        self.1.insert(key.into(), value.into());
        self.save();
    }
    fn delete(&mut self, key: &str) {
        self.1.remove(key);
        self.save();
    }
    fn dump(&mut self) -> Map {
        self.1.clone()
    }
}

fn open(name: &str) -> Box<dyn Store> {
    let state = PathBuf::from(std::env::var("KILLPOINT_STATE").unwrap());
    match name {
        "sled" => {
            let config = sled::Config::new().path(state.join("sled")).flush_every_ms(None);
            Box::new(Sled(config.open().unwrap()))
        }
        "redb" => Box::new(Redb(redb::Database::create(state.join("r.redb")).unwrap())),
        "fswrite" => {
            let path = state.join("store.json");
            let map = match fs::read(&path) {
                Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
                Err(_) => Map::new(),
            };
            Box::new(Json(path, map))
        }
        other => panic!("unknown store {other}"),
    }
}

fn put(store: &mut dyn Store, journal: &mut File, key: &str, value: &str) {
    journal.write_all(format!("I {key} {value}\n").as_bytes()).unwrap();
    match value {
        "-" => store.delete(key),
        _ => store.put(key, value),
    }
    journal.write_all(format!("A {key}\n").as_bytes()).unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut store = open(&args[1]);
    if args[2] == "check" {
        println!("{}", serde_json::to_string(&store.dump()).unwrap());
        return;
    }
    let path = std::env::var("KILLPOINT_JOURNAL").unwrap();
    let mut journal = OpenOptions::new().append(true).create(true).open(path).unwrap();
    if args[2] == "setup" {
        for i in 0..5 {
            put(&mut *store, &mut journal, &format!("old{i}"), &format!("{}{i}", "v".repeat(40)));
        }
        return;
    }
    let repeat = std::env::var("CASES_REPEAT").map_or(1, |text| text.parse().unwrap());
    for i in 0..repeat {
        let again = if i == 0 { String::new() } else { i.to_string() };
        let deleted = if i == 0 { "old3".into() } else { format!("new{}", 2 * i - 1) };
        let rows = [
            (format!("new{}", 2 * i), "alpha".into()),
            ("old1".into(), format!("short{again}")),
            ("old2".into(), "x".repeat(300) + &again),
            (format!("new{}", 2 * i + 1), "beta".into()),
            (deleted, "-".into()),
        ];
        for (key, value) in rows {
            put(&mut *store, &mut journal, &key, &value);
        }
    }
}
