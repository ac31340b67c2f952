import Upstream

/// What one simulated world is like. Each seed has its own: a world in which everything happens at
/// once would seldom get far enough in any one thing.
struct Features {
    var clients: Int
    /// Clients share connections; nil: each has its own.
    var pool: PoolSettings?
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
    var rejectedReplays: Int
    var failedStatements: Int
    var abortedCommits: Int
    /// That a name in use is given to another statement.
    var renamings: Int

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
        rejectedReplays = often(20)
        renamings = often(300)
        if chance.permille(500) { pool = Self.pool(chance) }
        chooseStatements(chance)
    }

    /// Few connections, for few statements, and not for long.
    private static func pool(_ chance: Chance) -> PoolSettings {
        PoolSettings(
            mode: .transaction, size: 1 + chance.below(3), minimumIdle: chance.below(2),
            maximumLifetime: chance.permille(100) ? UInt64(chance.below(50)) * 1_000_000 : nil,
            idleTimeout: chance.permille(300) ? UInt64(chance.below(50)) * 1_000_000 : nil,
            checkoutTimeout: UInt64(1 + chance.below(5)) * 1_000_000_000,
            maximumStatements: chance.permille(500) ? 1 + chance.below(4) : 500)
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
