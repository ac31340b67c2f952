import Mutants
import Testing

@testable import ResultCache

@Suite("Keyed coherence, by exhaustive search")
struct KeyedExplorerTests {
    /// A row gets another key while both keys are read.
    private static let movedKey: [KeyedExplorer.Program] = [
        .writer([.init(write: .move(from: 1, to: 2))]),
        .reader([.key(1), .key(1)]),
        .reader([.key(2), .key(2)]),
    ]

    /// The column becomes keyed while writers of all kinds are about.
    private static let newlyKeyed: [KeyedExplorer.Program] = [
        .writer([.init(write: .key(1))]),
        .writer([.init(write: .row(0), commits: false)]),
        .reader([.key(1), .key(1)]),
    ]

    /// A write to one key and one to a row whose key is not known, beside reads of another key
    /// and of all rows.
    private static let mixed: [KeyedExplorer.Program] = [
        .writer([.init(write: .key(1)), .init(write: .row(1))]),
        .reader([.key(2), .key(2)]),
        .reader([.all]),
    ]

    @Test("No interleaving of keyed reads and writes gives an answer from before the question")
    func protocolHolds() {
        var total = KeyedExplorer.Finding()
        for programs in [Self.movedKey, Self.newlyKeyed, Self.mixed] {
            let finding = KeyedExplorer(programs: programs).explore()
            #expect(finding.counterexample == nil)
            #expect(finding.states > 1000)
            #expect(finding.hits > 0)
            total.keyedFills += finding.keyedFills
            total.fallbacks += finding.fallbacks
            total.survivors += finding.survivors
        }
        // The search saw what it is about.
        #expect(total.keyedFills > 0)
        #expect(total.fallbacks > 0)
        #expect(total.survivors > 0)
    }

    @Test("A write that pins too little is found", arguments: KeyedExplorer.Fault.allCases)
    func faultsAreFound(fault: KeyedExplorer.Fault) {
        let programs =
            switch fault {
            case .newKeyMissing, .oldKeyMissing: Self.movedKey
            case .unpinnedMissing: Self.mixed
            }
        #expect(KeyedExplorer(programs: programs, fault: fault).explore().counterexample != nil)
    }

    @Test(
        "Each mutant of the machine is found",
        arguments: [
            Mutant.newlyKeyedColumn, .noRecheckAtFill, .noWritersCount, .noBumpAtClose,
        ])
    func mutantsAreFound(mutant: Mutant) {
        let finding = Mutant.$scoped.withValue(mutant) {
            KeyedExplorer(programs: Self.newlyKeyed).explore()
        }
        #expect(finding.counterexample != nil)
    }
}
