import Foundation

/// A violation, with what is needed to see it again.
struct SimulationFinding: CustomStringConvertible {
    let seed: UInt64
    let step: Int
    let violation: Violation
    let trace: [String]

    private static let traceLength =
        ProcessInfo.processInfo.environment["MYNAH_SIMULATION_TRACE"].flatMap(Int.init) ?? 60

    /// Runs one world; a violation is found a second time, with its trace.
    static func of(
        seed: UInt64, steps: Int
    ) -> (counters: SimulationCounters, finding: SimulationFinding?) {
        let (counters, violation, _) = run(seed: seed, steps: steps, isTracing: false)
        guard let violation else { return (counters, nil) }
        let (_, _, trace) = run(seed: seed, steps: steps, isTracing: true)
        return (
            counters,
            SimulationFinding(
                seed: seed, step: counters.steps, violation: violation,
                trace: trace.suffix(traceLength))
        )
    }

    static func run(
        seed: UInt64, steps: Int, isTracing: Bool
    ) -> (SimulationCounters, Violation?, [String]) {
        do {
            let simulation = try Simulation(seed: seed, isTracing: isTracing)
            do {
                try simulation.run(steps: steps)
                return (simulation.counters, nil, simulation.traced)
            } catch let violation as Violation {
                return (simulation.counters, violation, simulation.traced)
            } catch {
                let violation = Violation(.order, "\(error)")
                return (simulation.counters, violation, simulation.traced)
            }
        } catch {
            return (SimulationCounters(), Violation(.order, "\(error)"), [])
        }
    }

    var description: String {
        """
        \(violation)
        seed \(seed), step \(step) (again: MYNAH_SIMULATION_SEED=\(seed))
        \(trace.joined(separator: "\n"))
        """
    }
}
