import Testing

@testable import Mutants

/// The simulation is worth what it notices: each deliberate fault must be found, in the worlds
/// that are found without fault by `SimulationTests`.
@Suite("Mutants, simulated")
struct MutantGateTests {
    /// Worlds looked at, each of `SimulationTests.stepsPerWorld` steps: what takes a minute.
    private static let worlds: UInt64 = 800

    /// The rest is found by `MirrorSimulationTests`.
    private static let ofOneNode = Mutant.allCases.filter { !Mutant.ofMirrors.contains($0) }

    @Test("Each mutant is found", arguments: ofOneNode)
    func isFound(mutant: Mutant) {
        var steps = 0
        for seed in SimulationTests.firstSeed..<SimulationTests.firstSeed + Self.worlds {
            let (counters, violation, _) = Mutant.$scoped.withValue(mutant) {
                SimulationFinding.run(
                    seed: seed, steps: SimulationTests.stepsPerWorld, isTracing: false)
            }
            steps += counters.steps
            guard let violation else { continue }
            print(
                "mutant \(mutant.rawValue): \(violation.invariant.rawValue), seed \(seed), "
                    + "\(steps) steps")
            return
        }
        Issue.record("\(mutant.rawValue) was not found in \(steps) steps")
    }
}
