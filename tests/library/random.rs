//! The random generator against torch's own numbers (`tests/goldens/torch_random.py`).

use candle_core::Device;
use diffuscope::random::Generator;
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: String,
    draws: Vec<Draw>,
}

#[derive(Deserialize)]
struct Draw {
    size: usize,
    sha256: String,
    bits: Option<Vec<u32>>,
    first: Option<Vec<u32>>,
    last: Option<Vec<u32>>,
}

#[test]
fn the_same_seed_gives_the_numbers_of_torch_bit_for_bit() {
    let goldens: Goldens =
        serde_json::from_str(include_str!("../goldens/torch_random.json")).unwrap();
    assert!(goldens.cases.len() > 100);
    for case in goldens.cases {
        let mut generator = Generator::manual_seed(case.seed.parse().unwrap());
        for (number, draw) in case.draws.iter().enumerate() {
            let what = format!("seed {}, draw {number} of {} numbers", case.seed, draw.size);
            let values = generator.randn(draw.size);
            let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(bits.len(), draw.size, "{what}");
            if let Some(expected) = &draw.bits {
                assert_eq!(&bits, expected, "{what}");
            }
            if let Some(expected) = &draw.first {
                assert_eq!(&bits[..16], expected, "{what}: first");
            }
            if let Some(expected) = &draw.last {
                assert_eq!(&bits[bits.len() - 16..], expected, "{what}: last");
            }
            let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let hash = format!("{:x}", Sha256::digest(&bytes));
            assert_eq!(hash, draw.sha256, "{what}: hash");
        }
    }
}

#[test]
fn a_clone_goes_on_with_the_same_numbers() {
    let mut generator = Generator::manual_seed(42);
    generator.randn(5); // leaves half a pair behind
    let mut snapshot = generator.clone();
    let expected: Vec<Vec<f32>> = [1, 20, 3].map(|n| generator.randn(n)).into();
    let found: Vec<Vec<f32>> = [1, 20, 3].map(|n| snapshot.randn(n)).into();
    assert_eq!(found, expected);
    assert_eq!(snapshot, generator);
}

#[test]
fn a_tensor_holds_the_numbers_in_row_major_order() {
    let values = Generator::manual_seed(7).randn(4 * 8 * 8);
    let tensor = Generator::manual_seed(7)
        .randn_tensor((1, 4, 8, 8), &Device::Cpu)
        .unwrap();
    assert_eq!(tensor.dims(), [1, 4, 8, 8]);
    assert_eq!(
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        values
    );
}
