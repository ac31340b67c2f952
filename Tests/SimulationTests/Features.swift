/// What one simulated world is like. Each seed has its own: a world in which everything happens at
/// once would seldom get far enough in any one thing.
struct Features {
    var clients: Int
    /// The statements in use.
    var reads: [ModelStatement] = []
    var writes: [ModelStatement] = []
    var settings: [ModelStatement] = []

    /// How soon an idle client does something again, of 1,000.
    var eagerness: Int

    // Of 1,000 units of a client's work.
    var writeShare: Int
    var blockShare: Int
    var settingShare: Int
    var pipelineShare: Int
    var segmentShare: Int
    var stringShare: Int

    // Of 1,000 cases.
    var repeatableBlocks: Int
    var preparedShare: Int
    var simpleShare: Int
    var rejectedSettings: Int
    var failedStatements: Int
    var abortedCommits: Int

    // Of 10,000 steps.
    var lostLinks: Int
    var lostClients: Int
    var cancellations: Int
    var stalls: Int
    var sweeps: Int
    var squeezes: Int
    var clockTicks: Int

    init(_ chance: Chance) {
        /// `value` in most worlds, none in the others.
        func often(_ value: Int) -> Int { chance.permille(600) ? value : 0 }
        clients = 2 + chance.below(4)
        eagerness = 50 + chance.below(950)
        writeShare = 20 + chance.below(250)
        blockShare = often(40 + chance.below(250))
        settingShare = often(20 + chance.below(100))
        pipelineShare = often(80)
        segmentShare = often(80)
        stringShare = often(60)
        repeatableBlocks = often(400)
        preparedShare = often(100 + chance.below(800))
        simpleShare = chance.below(800)
        rejectedSettings = often(250)
        failedStatements = often(15)
        abortedCommits = often(60)
        lostLinks = often(1 + chance.below(40))
        lostClients = often(8)
        cancellations = often(20)
        stalls = often(60)
        sweeps = often(10)
        squeezes = often(10)
        clockTicks = often(20)
        chooseStatements(chance)
    }

    private mutating func chooseStatements(_ chance: Chance) {
        let topics = chance.some(1 + chance.below(2), of: StatementTexts.Topic.allCases)
        let groups = topics.compactMap { StatementTexts.shared.groups[$0] }
        reads = chance.some(2 + chance.below(8), of: groups.flatMap(\.reads))
        writes = chance.some(2 + chance.below(8), of: groups.flatMap(\.writes))
        if chance.permille(250) { writes += StatementTexts.catalogChanges }
        chooseSettings(chance)
    }

    /// Settings of one or two kinds, and reads to which they matter.
    private mutating func chooseSettings(_ chance: Chance) {
        let themes = chance.some(1 + chance.below(2), of: StatementTexts.settingThemes)
        settings = themes.flatMap { $0 }
        guard settingShare > 0, chance.permille(700) else { return }
        reads = chance.some(3, of: reads) + chance.some(2, of: StatementTexts.settingReads)
        if settings.contains(where: \.changesZone) {
            reads = [StatementTexts.zoned, StatementTexts.zoned] + chance.some(2, of: reads)
        }
    }
}

extension ModelStatement {
    fileprivate var changesZone: Bool {
        if case .set(.zone, isLocal: _) = meaning { return true }
        return false
    }
}
