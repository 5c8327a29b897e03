//! What others have tried against TCP stacks, and what comes of it here: the rows of docs/attacks.md, each with a figure.

mod blind;
mod flood;
mod guess;
mod malformed;
mod memory;
mod war;
mod window;

/// A figure as measured; `make attacks` takes these lines over into docs/attacks.md.
fn figure(label: &str, seen: impl core::fmt::Display) {
    println!("{label} seen: {seen}");
}

/// splitmix64: the tests' own dice, the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).expect("small")
    }
}
