import Testing

@Suite("Coherence, by exhaustive search")
struct CoherenceExplorerTests {
    private static let oneAfterTheOther: [CoherenceExplorer.Program] = [
        .writer([
            .init(relations: [0, 1], ending: .commits), .init(relations: [0], ending: .aborts),
        ]),
        .reader([[0, 1], [0, 1]]),
        .reader([[0, 1], [0]]),
    ]

    private static let twoWriters: [CoherenceExplorer.Program] = [
        .writer([.init(relations: [0], ending: .commits)]),
        .writer([.init(relations: [1, 0], ending: .commits)]),
        .reader([[0, 1], [0]]),
        .reader([[0]]),
    ]

    private static let lostConnection: [CoherenceExplorer.Program] = [
        .writer([
            .init(relations: [0], ending: .lost), .init(relations: [1], ending: .commits),
        ]),
        .reader([[0], [0, 1]]),
        .reader([[0], [0, 1]]),
    ]

    private static let threeReaders: [CoherenceExplorer.Program] = [
        .writer([.init(relations: [0], ending: .commits)]),
        .reader([[0], [0]]),
        .reader([[0]]),
        .reader([[0]]),
    ]

    private static let all = [oneAfterTheOther, twoWriters, lostConnection, threeReaders]

    @Test("No interleaving of readers and writers gives an answer from before the question")
    func protocolHolds() {
        for programs in Self.all {
            let finding = CoherenceExplorer(programs: programs).explore()
            #expect(finding.counterexample == nil)
            // The search saw what it is about.
            #expect(finding.states > 1000)
            #expect(finding.hits > 0)
            #expect(finding.shared > 0)
        }
    }

    @Test(
        "Each way to break the protocol is found", arguments: CoherenceExplorer.Mutant.allCases)
    func mutantsAreFound(mutant: CoherenceExplorer.Mutant) {
        let programs =
            switch mutant {
            case .windowOpenedLate, .noWriterCount, .noNewVersion, .stampedAtStore:
                Self.oneAfterTheOther
            case .windowTooSmall: Self.twoWriters
            case .lostWindowReleased: Self.lostConnection
            case .followsOlderFlight: Self.threeReaders
            }
        let finding = CoherenceExplorer(programs: programs, mutant: mutant).explore()
        #expect(finding.counterexample != nil)
    }
}
