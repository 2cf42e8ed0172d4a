//! Covers the screen of `$DISPLAY` with a colour: `x-window ff0000`. Says so once it is seen, and waits.

use std::env;
use std::error::Error;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, EventMask, WindowClass};

fn main() -> Result<(), Box<dyn Error>> {
    let colour = env::args().nth(1).ok_or("say which colour, as ff0000")?;
    let pixel = u32::from_str_radix(&colour, 16)?;
    let (server, screen) = x11rb::connect(None)?;
    let screen = &server.setup().roots[screen];
    let window = server.generate_id()?;
    let looks = CreateWindowAux::new()
        .background_pixel(pixel)
        .override_redirect(1)
        .event_mask(EventMask::EXPOSURE);
    let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
    let (class, visual) = (WindowClass::INPUT_OUTPUT, screen.root_visual);
    server.create_window(
        screen.root_depth,
        window,
        screen.root,
        0,
        0,
        width,
        height,
        0,
        class,
        visual,
        &looks,
    )?;
    server.map_window(window)?;
    server.flush()?;
    loop {
        if let Event::Expose(_) = server.wait_for_event()? {
            println!("seen");
        }
    }
}
