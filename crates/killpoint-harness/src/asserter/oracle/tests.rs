//! Small recordings, replayed independently of the follower: every kill point of right programs
//! must hold, and wrong ones must be caught.

mod append_only_files;
mod databases;
mod document_files;
mod documents_in_turn;
mod emptied_logs;
mod gaps;
mod killed_runs;
mod moved_files;
mod passing_files;
mod pointed_directories;
mod properties;
mod staging_files;
mod switched_directories;
mod world;
