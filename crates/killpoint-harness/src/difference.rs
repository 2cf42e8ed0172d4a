//! Differences between two versions of a file, bounded, as text or as hexadecimal.

use killpoint_engine::image::Content;

/// Most bytes of a version that are looked at.
const BYTES_MAX: u64 = 8 << 10;
/// Most lines of a difference.
const LINES_MAX: usize = 60;
/// Most characters of a line.
const WIDTH_MAX: usize = 160;
/// Bytes in a line of hexadecimal.
const ROW: usize = 16;

/// The difference, one line an entry: ` `, `-` or `+` first.
pub fn lines(before: Option<&Content>, after: Option<&Content>) -> Vec<String> {
    let read =
        |content: Option<&Content>| content.map(|c| c.read(0, BYTES_MAX)).unwrap_or_default();
    let (old, new) = (read(before), read(after));
    let both_text = |bytes: &[u8]| {
        std::str::from_utf8(bytes).is_ok_and(|text| {
            !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        })
    };
    let (old, new) = match both_text(&old) && both_text(&new) {
        true => (text_rows(&old), text_rows(&new)),
        false => (hexadecimal_rows(&old), hexadecimal_rows(&new)),
    };
    let mut lines = changes(&old, &new);
    let longer = [before, after].iter().flatten().any(|content| content.size() > BYTES_MAX);
    if lines.len() > LINES_MAX {
        let rest = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!(" ... {rest} more lines"));
    }
    if longer {
        lines.push(format!(" ... only the first {BYTES_MAX} bytes were compared here"));
    }
    lines
}

fn text_rows(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .map(|line| match line.chars().count() > WIDTH_MAX {
            true => line.chars().take(WIDTH_MAX).collect::<String>() + "...",
            false => line.to_owned(),
        })
        .collect()
}

fn hexadecimal_rows(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(ROW)
        .enumerate()
        .map(|(index, row)| {
            let hexadecimal: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = row
                .iter()
                .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
                .collect();
            format!("{:06x}  {:<47}  {text}", index * ROW, hexadecimal.join(" "))
        })
        .collect()
}

/// Removed and added lines between the common beginning and the common end, with one line of each.
fn changes(old: &[String], new: &[String]) -> Vec<String> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let end = old[start..]
        .iter()
        .rev()
        .zip(new[start..].iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    let mut lines = Vec::new();
    if start > 0 {
        lines.push(format!(" {}", old[start - 1]));
    }
    lines.extend(old[start..old.len() - end].iter().map(|line| format!("-{line}")));
    lines.extend(new[start..new.len() - end].iter().map(|line| format!("+{line}")));
    if end > 0 {
        lines.push(format!(" {}", old[old.len() - end]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_compared_by_lines_and_other_bytes_in_hexadecimal() {
        let content = |bytes: &[u8]| Content::of_bytes(bytes);
        let (old, new) = (content(b"a\nb\nc\n"), content(b"a\nx\nc\n"));
        assert_eq!(lines(Some(&old), Some(&new)), [" a", "-b", "+x", " c"]);
        let binary = content(b"\x00\x01A");
        let shown = lines(None, Some(&binary));
        assert_eq!(shown.len(), 1);
        assert!(
            shown[0].starts_with("+000000  00 01 41") && shown[0].ends_with("..A"),
            "{shown:?}"
        );
    }
}
