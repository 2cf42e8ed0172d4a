//! Pictures of an X display, as PNG files with small copies of them.
//!
//! A display may be slow, or never answer, and belongs to nobody here: one thread asks it, another writes files, and
//! whoever waits for them does so for a bounded time.

use killpoint_model::screenshot::{Moment, Screenshot};
use png::{BitDepth, ColorType, Compression};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::image::{Image, PixelLayout};
use x11rb::rust_connection::RustConnection;

/// Pictures of one trial.
pub const PICTURES_MAX: u64 = 40;
/// Pixels of a screen.
const PIXELS_MAX: usize = 16 << 20;
/// Largest file, in bytes; a picture that would be larger is made smaller.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Largest preview, in bytes.
const PREVIEW_BYTES_MAX: usize = 64 << 10;
/// Widest and highest preview, in pixels.
const PREVIEW_SIDE_MAX: usize = 480;
/// Pictures that may wait to be written.
const WAITING_MAX: usize = 4;
/// How long is waited for a picture.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How long is waited for the last files.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Somebody who takes pictures.
#[derive(Debug)]
pub struct Camera {
    requests: SyncSender<Request>,
    album: Receiver<Album>,
    asked: u64,
    omitted: u64,
    is_silent: bool,
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Album {
    /// The pictures, in their order.
    pub pictures: Vec<Screenshot>,
    /// How many were not taken, since there were enough.
    pub omitted: u64,
    /// Why others were not, each once.
    pub problems: Vec<String>,
    /// Whether the display did not answer in time.
    pub is_silent: bool,
}

struct Request {
    moment: Moment,
    at_us: u64,
    taken: Option<SyncSender<()>>,
}

struct Raw {
    moment: Moment,
    at_us: u64,
    pixels: Result<(Image<'static>, PixelLayout), String>,
}

impl Camera {
    /// One that looks at a display, or at that of `DISPLAY`, and puts its files into a directory.
    pub fn start(display: Option<&str>, directory: &Path) -> Self {
        let (requests, asked) = sync_channel(WAITING_MAX);
        let (raw, developed) = sync_channel(WAITING_MAX);
        let (done, album) = channel();
        let (display, directory) = (display.map(str::to_owned), directory.to_owned());
        thread::spawn(move || take_all(display.as_deref(), &asked, &raw));
        thread::spawn(move || {
            // Nobody may wait any more.
            let _ = done.send(develop_all(&developed, &directory));
        });
        Camera { requests, album, asked: 0, omitted: 0, is_silent: false }
    }

    /// Asks for a picture and waits until it is taken, for some time.
    pub fn take(&mut self, moment: Moment, at_us: u64) {
        let (taken, wait) = sync_channel(1);
        if self.ask(moment, at_us, Some(taken)) {
            // Whoever is gone has failed, and says so at the end.
            let answer = wait.recv_timeout(ANSWER_LIMIT);
            self.is_silent |= answer == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        }
    }

    /// Asks for a picture and goes on.
    pub fn take_meanwhile(&mut self, moment: Moment, at_us: u64) {
        self.ask(moment, at_us, None);
    }

    fn ask(&mut self, moment: Moment, at_us: u64, taken: Option<SyncSender<()>>) -> bool {
        if self.is_silent {
            return false;
        }
        if self.asked >= PICTURES_MAX {
            self.omitted += 1;
            return false;
        }
        self.asked += 1;
        match self.requests.try_send(Request { moment, at_us, taken }) {
            Ok(()) => true,
            // Those before it have no answer yet.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.omitted += 1;
                false
            }
        }
    }

    /// Waits for the last picture, for some time.
    pub fn end(self) -> Album {
        drop(self.requests);
        let limit = if self.is_silent { Duration::ZERO } else { END_LIMIT };
        let mut album = match self.album.recv_timeout(limit) {
            Ok(album) => album,
            Err(_) => Album { is_silent: true, ..Album::default() },
        };
        album.omitted += self.omitted;
        album.is_silent |= self.is_silent;
        album
    }
}

/// Until nobody asks any more.
fn take_all(display: Option<&str>, asked: &Receiver<Request>, raw: &SyncSender<Raw>) {
    let mut connection = None;
    while let Ok(Request { moment, at_us, taken }) = asked.recv() {
        let pixels = take_one(display, &mut connection);
        if pixels.is_err() {
            // It may be started later, or again.
            connection = None;
        }
        if let Some(taken) = taken {
            let _ = taken.send(());
        }
        if raw.send(Raw { moment, at_us, pixels }).is_err() {
            return;
        }
    }
}

fn take_one(
    display: Option<&str>,
    connection: &mut Option<(RustConnection, usize)>,
) -> Result<(Image<'static>, PixelLayout), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (server, screen) = match connection {
        Some(known) => known,
        None => connection.insert(x11rb::connect(display).map_err(|error| {
            let display = display.map_or_else(|| "of DISPLAY".to_owned(), |it| format!("`{it}`"));
            format!("cannot connect to the display {display}: {error}")
        })?),
    };
    let setup = server.setup();
    let screen = setup.roots.get(*screen).ok_or("it has no such screen")?;
    let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
    if usize::from(width) * usize::from(height) > PIXELS_MAX {
        return Err(format!("its screen of {width} x {height} pixels is too large"));
    }
    let (image, visual) =
        Image::get(server, screen.root, 0, 0, width, height).map_err(|error| text(&error))?;
    let mut visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
    let visual = visuals.find(|it| it.visual_id == visual).ok_or("its colours are not known")?;
    let layout = PixelLayout::from_visual_type(*visual)
        .map_err(|_| "its pixels are no mixtures of red, green and blue")?;
    Ok((image, layout))
}

fn develop_all(developed: &Receiver<Raw>, directory: &Path) -> Album {
    let mut album = Album::default();
    for raw in developed {
        let picture = raw.pixels.and_then(|(image, layout)| {
            let path = directory.join(raw.moment.file_name());
            let picture = Picture::read(&image, layout);
            let preview = picture
                .write(&path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Ok(Screenshot {
                path: path.display().to_string(),
                moment: raw.moment,
                at_us: raw.at_us,
                width: image.width().into(),
                height: image.height().into(),
                preview,
            })
        });
        match picture {
            Ok(picture) => album.pictures.push(picture),
            Err(problem) if album.problems.contains(&problem) => {}
            Err(problem) => album.problems.push(problem),
        }
    }
    album
}

/// Red, green and blue, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Picture {
    fn read(image: &Image<'_>, layout: PixelLayout) -> Self {
        let mut bytes = Vec::new();
        for y in 0..image.height() {
            for x in 0..image.width() {
                let (red, green, blue) = layout.decode(image.get_pixel(x, y));
                bytes.extend([red, green, blue].map(|value| value.to_be_bytes()[0]));
            }
        }
        Picture { width: image.width().into(), height: image.height().into(), bytes }
    }

    /// Writes it, smaller if it must be; a preview of it.
    fn write(&self, path: &PathBuf) -> io::Result<String> {
        use base64::Engine;
        let (file, _) = self.encoded(1, FILE_BYTES_MAX, Compression::Fast)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, file)?;
        let factor = self.width.max(self.height).div_ceil(PREVIEW_SIDE_MAX);
        let (preview, _) = self.encoded(factor, PREVIEW_BYTES_MAX, Compression::Balanced)?;
        Ok(base64::engine::general_purpose::STANDARD.encode(preview))
    }

    /// A PNG of at most so many bytes: made smaller by this factor, or by the next one that is enough.
    fn encoded(
        &self,
        factor: usize,
        bytes_max: usize,
        compression: Compression,
    ) -> io::Result<(Vec<u8>, usize)> {
        let mut factor = factor.max(1);
        loop {
            let png = self.smaller(factor).png(compression)?;
            if png.len() <= bytes_max || factor >= self.width.max(self.height) {
                return Ok((png, factor));
            }
            factor *= 2;
        }
    }

    /// Each pixel the mean of a square of them.
    fn smaller(&self, factor: usize) -> Self {
        if factor <= 1 {
            return self.clone();
        }
        let (width, height) = (self.width.div_ceil(factor), self.height.div_ceil(factor));
        let mut bytes = Vec::with_capacity(width * height * 3);
        for top in (0..self.height).step_by(factor) {
            for left in (0..self.width).step_by(factor) {
                let (mut sums, mut count) = ([0_usize; 3], 0);
                for y in top..self.height.min(top + factor) {
                    let row = y * self.width;
                    let right = self.width.min(left + factor);
                    for pixel in self.bytes[(row + left) * 3..(row + right) * 3].chunks_exact(3) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, it)| *sum += usize::from(*it));
                        count += 1;
                    }
                }
                let mean = |sum: usize| u8::try_from(sum / count).expect("a mean of bytes");
                bytes.extend(sums.map(mean));
            }
        }
        Picture { width, height, bytes }
    }

    fn png(&self, compression: Compression) -> io::Result<Vec<u8>> {
        let side = |side: usize| u32::try_from(side).expect("a screen's side has 16 bits");
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side(self.width), side(self.height));
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(compression);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bytes)?;
        writer.finish()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn noise(width: usize, height: usize) -> Picture {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        Picture { width, height, bytes: (0..width * height * 3).map(|_| next()).collect() }
    }

    #[test]
    fn a_smaller_picture_has_the_means_of_its_squares_to_the_edge() {
        let bytes = [[0, 0, 0], [10, 20, 30], [9, 9, 9]].concat();
        let picture = Picture { width: 3, height: 1, bytes };
        let smaller = picture.smaller(2);
        assert_eq!((smaller.width, smaller.height), (2, 1));
        assert_eq!(smaller.bytes, [5, 10, 15, 9, 9, 9]);
    }

    #[test]
    fn what_does_not_compress_is_made_smaller_until_it_fits() {
        let picture = noise(400, 300);
        let (png, factor) = picture.encoded(1, 64 << 10, Compression::Fast).expect("memory");
        assert!(png.len() <= 64 << 10 && factor > 1, "{} {factor}", png.len());
        assert!(png.starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_display_that_never_answers_is_given_up_and_one_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
        // Display N of a host is at port 6000 + N of it.
        let number = silent.local_addr().expect("bound").port() - 6_000;
        let before = || Moment::Before { strike: 1 };
        let mut camera = Camera::start(Some(&format!("127.0.0.1:{number}")), directory.path());
        camera.take(before(), 0);
        camera.take(before(), 0);
        let album = camera.end();
        assert!(album.is_silent && album.pictures.is_empty(), "{album:?}");
        let mut camera = Camera::start(Some(":7777"), directory.path());
        camera.take(before(), 0);
        camera.take_meanwhile(Moment::Struck { strike: 1 }, 0);
        let album = camera.end();
        assert!(!album.is_silent && album.pictures.is_empty());
        assert_eq!(album.problems.len(), 1, "{:?}", album.problems);
    }
}
