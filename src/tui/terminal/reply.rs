//! What a terminal answers to what it was asked. Replies to what others asked are known by their form and left alone.

/// A reply that is of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Primary device attributes (`CSI c`): the terminal's class, and what it has. Every terminal answers this.
    Attributes(Vec<u32>),
    /// A cell's width and height in pixels (`CSI 16 t`).
    Cell(u32, u32),
    /// Width and height of all cells in pixels (`CSI 14 t`).
    Window(u32, u32),
    /// Can it show kitty's pictures?
    Graphics(bool),
    /// How many colours a sixel picture may have.
    SixelColours(u32),
    /// Width and height of the largest sixel picture, in pixels.
    SixelSize(u32, u32),
}

/// The number by which a reply to the question for kitty's pictures is known.
pub const GRAPHICS_ID: &str = "i=31";

impl Reply {
    /// The reply `ESC [`, `parameters` and `end`.
    pub fn sequence(parameters: &str, end: u8) -> Option<Self> {
        let (is_private, numbers) = match parameters.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, parameters),
        };
        let numbers: Vec<u32> = numbers
            .split(';')
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()?;
        match (is_private, end, &numbers[..]) {
            (true, b'c', _) => Some(Self::Attributes(numbers)),
            (true, b'S', &[1, 0, colours]) => Some(Self::SixelColours(colours)),
            (true, b'S', &[2, 0, width, height]) => Some(Self::SixelSize(width, height)),
            (false, b't', &[6, height, width]) => Some(Self::Cell(width, height)),
            (false, b't', &[4, height, width]) => Some(Self::Window(width, height)),
            _ => None,
        }
    }

    /// The reply `ESC _`, `bytes` and `ESC \`.
    pub fn graphics(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix('G')?;
        let (keys, message) = text.split_once(';')?;
        let is_ours = keys.split(',').any(|key| key == GRAPHICS_ID);
        is_ours.then_some(Self::Graphics(message == "OK"))
    }
}
