use inerd_lm::bench::GenerateBench;
use inerd_lm::{Config, Gpt2Config, LanguageModel};
use inerd_training::{Loss, bench::TrainBench};
fn main() {
    let device = burn::tensor::Device::flex();
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments[i].parse::<usize>().unwrap();
    let config = if arguments[2] == "7m" {
        Gpt2Config::new(8192, 256, 256, 6, 4)
    } else {
        Gpt2Config::new(50257, 1024, 768, 12, 12)
    };
    let model = LanguageModel::random(Config::Gpt2(config), 1, &device).unwrap();
    if arguments[1] == "generate" {
        for batch in arguments[3].split(',') {
            let allowed = (arguments[4] != "free").then(|| number(4));
            let bench = GenerateBench {
                batch: batch.parse().unwrap(),
                prompt: 40,
                length: 25,
                allowed,
                forced: number(5),
                rounds: number(6),
            };
            println!("{} generate {batch} {:?}", arguments[2], bench.run(&model, &device).unwrap());
        }
    } else {
        let loss = if arguments[4] == "allowed" { Loss::Allowed } else { Loss::Response };
        let bench =
            TrainBench { batch: 16, lengths: vec![(number(5), number(6))], loss, allowed: 20, steps: number(3) };
        let dir = std::env::temp_dir().join("inerd-speed");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        println!("{} train {:?}", arguments[2], bench.run(model, &device, &dir).unwrap());
    }
}
