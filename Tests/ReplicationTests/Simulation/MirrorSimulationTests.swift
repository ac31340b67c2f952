import Foundation
import Mutants
import Testing

@testable import Replication

/// Worlds of 4,000 steps each, every one of which its seed determines.
@Suite("Mirrors and take-overs, simulated")
struct MirrorSimulationTests {
    private static let steps = 4_000
    private static let firstSeed: UInt64 = 1
    private static let environment = ProcessInfo.processInfo.environment
    private static let worlds =
        environment["MYNAH_MIRROR_WORLDS"].flatMap(UInt64.init) ?? 60

    /// The wrong answer of a world, if there is one.
    private static func run(
        seed: UInt64, isSynchronous: Bool, _ sum: inout MirrorSimulation.Counters
    ) -> MirrorSimulation.Violation? {
        let world = MirrorSimulation(seed: seed, isSynchronous: isSynchronous)
        defer { sum += world.counters }
        do {
            try world.run(steps: steps)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "No mirror and no new leader gives an answer that the database could not have given",
        arguments: [true, false])
    func invariantsHold(isSynchronous: Bool) async {
        var sum = MirrorSimulation.Counters()
        for seed in Self.firstSeed..<Self.firstSeed + Self.worlds {
            // Others wait for a thread as well.
            await Task.yield()
            let found = Self.run(seed: seed, isSynchronous: isSynchronous, &sum)
            if let found {
                Issue.record("seed \(seed), \(isSynchronous ? "sync" : "async"): \(found)")
                return
            }
        }
        for (name, path) in MirrorSimulation.Counters.all {
            print("mirrors, \(isSynchronous ? "sync" : "async"): \(sum[keyPath: path]) \(name)")
            // A mirror is kept only where commits wait for it; only then do they.
            if !isSynchronous, path == \.warm || path == \.waits { continue }
            #expect(sum[keyPath: path] > 0, "\(name) never occurred")
        }
    }

    /// Those that show within a few hundred worlds, and where they were last seen to do so: the search
    /// begins there. All have a story in `TakeOverScenarioTests`.
    private static let mutants: [(Mutant, UInt64)] = [
        (.mirrorIgnoresLease, 1), (.seenIsIgnored, 1), (.commitDoesNotWaitForFollowers, 1),
        (.mirrorKeptAtBegin, 1), (.leaseFromAnswer, 43), (.takeOverWithoutTerm, 75),
        (.takeOverForgetsLeases, 77), (.takeOverKeepsOpenWindows, 169),
    ]

    @Test("Mutants of mirrors are found", arguments: mutants)
    func isFound(mutant: Mutant, from first: UInt64) async {
        var sum = MirrorSimulation.Counters()
        for seed in first..<first + 200 {
            for isSynchronous in [true, false] {
                await Task.yield()
                let found = Mutant.$scoped.withValue(mutant) {
                    Self.run(seed: seed, isSynchronous: isSynchronous, &sum)
                }
                guard found != nil else { continue }
                print(
                    "mutant \(mutant.rawValue): \(isSynchronous ? "sync" : "async"), "
                        + "seed \(seed), \(sum.steps) steps")
                return
            }
        }
        Issue.record("\(mutant.rawValue) was not found in \(sum.steps) steps")
    }
}
