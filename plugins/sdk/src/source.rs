//! Tells the host where the sources of this crate are, so that a fault is put at the line of the plugin's author.

/// The folder of this file, as debug information and as panics name it.
#[cfg(any(target_family = "wasm", test))]
const PLACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source.rs\n", file!(), "\n");

/// A custom section of the component.
#[cfg(target_family = "wasm")]
#[used]
#[expect(unsafe_code, reason = "the section is a custom one of the module and holds bytes only")]
#[unsafe(link_section = "lossmith-sdk")]
static SECTION: [u8; PLACES.len()] = bytes();

#[cfg(any(target_family = "wasm", test))]
const fn bytes() -> [u8; PLACES.len()] {
    let (text, mut bytes, mut index) = (PLACES.as_bytes(), [0; PLACES.len()], 0);
    while index < bytes.len() {
        bytes[index] = text[index];
        index += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_section_holds_the_places() {
        assert_eq!(super::bytes(), super::PLACES.as_bytes());
    }
}
