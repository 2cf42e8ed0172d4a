from sqlite_store import drive_sqlite

drive_sqlite(journal_mode="wal", synchronous="full")
