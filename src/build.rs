//! Has the program built again when a lesson comes or goes: the folders of lessons are embedded as they are, and the
//! compiler itself notices a change of a file that it has embedded, but no new one.

fn main() {
    for folder in ["src/build.rs", "lessons/en", "lessons/zh"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
