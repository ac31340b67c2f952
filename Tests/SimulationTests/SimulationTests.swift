import Foundation
import Mutants
import Testing

/// Two million steps, in worlds of some 1,500 each, every one of which its seed determines.
@Suite("Coherence, simulated")
struct SimulationTests {
    static let stepsPerWorld = 1_500
    static let firstSeed: UInt64 = 1_000_000

    private static let environment = ProcessInfo.processInfo.environment
    private static let steps =
        environment["MYNAH_SIMULATION_STEPS"].flatMap(Int.init) ?? 2_000_000
    /// The seed of one world that is to be looked at.
    private static let onlySeed = environment["MYNAH_SIMULATION_SEED"].flatMap(UInt64.init)
    private static let parts = 8

    @Test("No interleaving gives an answer that the database could not have given")
    func invariantsHold() async throws {
        if let seed = Self.onlySeed {
            if let finding = SimulationFinding.of(seed: seed, steps: Self.stepsPerWorld).finding {
                Issue.record("\(finding)")
            }
            return
        }
        let worlds = max(1, Self.steps / Self.stepsPerWorld)
        let total = await withTaskGroup(of: SimulationCounters.self) { group in
            for part in 0..<Self.parts {
                group.addTask {
                    var sum = SimulationCounters()
                    for world in stride(from: part, to: worlds, by: Self.parts) {
                        let (counters, finding) = SimulationFinding.of(
                            seed: Self.firstSeed + UInt64(world), steps: Self.stepsPerWorld)
                        sum += counters
                        guard let finding else { continue }
                        Issue.record("\(finding)")
                        break
                    }
                    return sum
                }
            }
            return await group.reduce(into: SimulationCounters()) { $0 += $1 }
        }
        for (name, path) in SimulationCounters.all {
            print("simulation: \(total[keyPath: path]) \(name)")
            #expect(total[keyPath: path] > 0, "\(name) never occurred")
        }
    }
}
