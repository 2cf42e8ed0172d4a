//! XML: well formed, with one root element that is closed.

use super::{Unreadable, text};
use crate::asserter::oracle::spelling::Spelling;
use crate::asserter::oracle::state::Digest;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

pub(super) fn read(contents: &[u8]) -> Result<Digest, Unreadable> {
    let mut reader = Reader::from_str(text(contents)?);
    reader.config_mut().check_comments = true;
    let mut spelling = Spelling::default();
    let mut run = String::new();
    let (mut depth, mut roots) = (0_u64, 0_u64);
    loop {
        let event = reader
            .read_event()
            .map_err(|error| Unreadable(format!("{error} at byte {}", reader.error_position())))?;
        let is_text = matches!(event, Event::Text(_) | Event::CData(_) | Event::GeneralRef(_));
        if !is_text && !matches!(event, Event::Comment(_)) {
            finish_text(&mut run, depth, &mut spelling)?;
        }
        match event {
            Event::Start(start) => {
                roots += u64::from(depth == 0);
                depth += 1;
                spell_start(&start, &mut spelling)?;
            }
            Event::Empty(start) => {
                roots += u64::from(depth == 0);
                spell_start(&start, &mut spelling)?;
                spelling.mark(b'/', 0);
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                spelling.mark(b'/', 0);
            }
            Event::Text(text) => run.push_str(&text),
            Event::CData(text) => run.push_str(&text),
            Event::GeneralRef(name) => {
                run.push('&');
                run.push_str(&name);
                run.push(';');
            }
            Event::PI(instruction) => spelling.part(b'?', instruction.as_bytes()),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::DocType(_) => {}
        }
    }
    match (depth, roots) {
        (0, 1) => Ok(spelling.digest()),
        (0, 0) => Err(Unreadable("no root element".to_owned())),
        (0, _) => Err(Unreadable(format!("{roots} root elements"))),
        _ => Err(Unreadable(format!("{depth} elements are not closed"))),
    }
}

/// Text between two tags counts without the white space around it.
fn finish_text(run: &mut String, depth: u64, spelling: &mut Spelling) -> Result<(), Unreadable> {
    let trimmed = run.trim();
    if !trimmed.is_empty() {
        if depth == 0 {
            return Err(Unreadable("text outside of the root element".to_owned()));
        }
        spelling.part(b't', trimmed.as_bytes());
    }
    run.clear();
    Ok(())
}

fn spell_start(start: &BytesStart<'_>, spelling: &mut Spelling) -> Result<(), Unreadable> {
    spelling.part(b'<', start.name().as_ref().as_bytes());
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| Unreadable(error.to_string()))?;
        attributes.push((attribute.key.as_ref().to_owned(), attribute.value.into_owned()));
    }
    attributes.sort();
    for (key, value) in attributes {
        spelling.part(b'k', key.as_bytes());
        spelling.part(b'v', value.as_bytes());
    }
    Ok(())
}
