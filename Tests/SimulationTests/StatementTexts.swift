/// Every statement that the simulation can send, with what it means, by the tables it is about.
struct StatementTexts {
    struct Group {
        var reads: [ModelStatement] = []
        var writes: [ModelStatement] = []
    }

    /// Tables whose answers may depend on each other.
    enum Topic: CaseIterable { case item, pair, part, family, audited, overview }

    static let shared = StatementTexts()

    let groups: [Topic: Group]
    let control: [ModelStatement]
    /// By text.
    let byText: [String: ModelStatement]

    /// The changes of settings by what they are about.
    static let settingThemes: [[ModelStatement]] = [
        [
            ModelStatement("SET search_path = alt, public", .set(.path(.alt), isLocal: false)),
            ModelStatement("SET search_path TO public", .set(.path(.publicOnly), isLocal: false)),
            ModelStatement(
                "SET search_path TO \"$user\", public", .set(.path(.login), isLocal: false)),
            ModelStatement(
                "SET LOCAL search_path = alt, public", .set(.path(.alt), isLocal: true)),
            ModelStatement("RESET search_path", .set(.resetPath, isLocal: false)),
        ],
        [
            ModelStatement("SET ROLE alice", .set(.role(.alice), isLocal: false)),
            ModelStatement("SET ROLE bob", .set(.role(.bob), isLocal: false)),
            ModelStatement("SET LOCAL ROLE alice", .set(.role(.alice), isLocal: true)),
            ModelStatement("RESET ROLE", .set(.resetRole, isLocal: false)),
        ],
        [
            ModelStatement("SET TIME ZONE 'Asia/Tokyo'", .set(.zone(1), isLocal: false)),
            ModelStatement("SET timezone TO 'UTC'", .set(.zone(0), isLocal: false)),
            ModelStatement("RESET timezone", .set(.resetZone, isLocal: false)),
        ],
        [
            ModelStatement(
                "SET default_transaction_isolation TO 'repeatable read'",
                .set(.isolation(repeatableRead: true), isLocal: false)),
            ModelStatement(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
                .set(.isolation(repeatableRead: false), isLocal: false)),
        ],
        [
            ModelStatement("RESET ALL", .set(.resetAll, isLocal: false)),
            ModelStatement("DISCARD ALL", .discardAll),
        ],
    ]

    static let catalogChanges: [ModelStatement] = [
        ModelStatement(
            "CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON public.item "
                + "FOR EACH ROW EXECUTE FUNCTION public.note()", .write(.audit(true))),
        ModelStatement("DROP TRIGGER noted ON public.item", .write(.audit(false))),
    ]

    static let probe = ModelStatement("PROBE", .probe)

    private init() {
        groups = [
            .item: Self.item, .pair: Self.pair, .part: Self.part, .family: Self.family,
            .audited: Self.audited, .overview: Self.overview,
        ]
        control = [
            ModelStatement("BEGIN", .begin(repeatableRead: nil)),
            ModelStatement("BEGIN ISOLATION LEVEL READ COMMITTED", .begin(repeatableRead: false)),
            ModelStatement("BEGIN ISOLATION LEVEL REPEATABLE READ", .begin(repeatableRead: true)),
            ModelStatement("START TRANSACTION", .begin(repeatableRead: nil)),
            ModelStatement("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", .repeatableRead),
            ModelStatement("COMMIT", .commit), ModelStatement("END", .commit),
            ModelStatement("ROLLBACK", .rollback), ModelStatement("SAVEPOINT s", .savepoint),
            ModelStatement("ROLLBACK TO SAVEPOINT s", .rollbackToSavepoint),
            ModelStatement("RELEASE SAVEPOINT s", .releaseSavepoint),
            ModelStatement("SELECT 1", .one), Self.probe,
        ]
        var byText: [String: ModelStatement] = [:]
        for statement in control + Self.settingThemes.flatMap { $0 } + Self.catalogChanges {
            byText[statement.text] = statement
        }
        for group in groups.values {
            for statement in group.reads + group.writes { byText[statement.text] = statement }
        }
        self.byText = byText
    }

    private static let first = Operand.parameter(0)
    private static let second = Operand.parameter(1)

    /// Reads and writes of a table with the columns id and v, named so.
    private static func keyed(_ name: String, _ source: Source, ids: [Int32]) -> Group {
        var group = Group()
        func read(_ text: String, _ read: Read, _ parameters: Int = 0) {
            group.reads.append(ModelStatement(text, .read(read), parameters: parameters))
        }
        func write(_ text: String, _ write: Write, _ parameters: Int = 0) {
            group.writes.append(ModelStatement(text, .write(write), parameters: parameters))
        }
        for id in ids {
            read("SELECT id, v FROM \(name) WHERE id = \(id)", .rows(source, [.constant(id)]))
            write(
                "UPDATE \(name) SET v = v + 1 WHERE id = \(id)", .touch(source, [.constant(id)]))
            write("DELETE FROM \(name) WHERE id = \(id)", .delete(source, [.constant(id)]))
            write("INSERT INTO \(name) (id, v) VALUES (\(id), 0)", .insert(source, .constant(id)))
        }
        let (low, high) = (ids[0], ids[1])
        read("SELECT id, v FROM \(name) WHERE id = $1", .rows(source, [first]), 1)
        read(
            "SELECT id, v FROM \(name) WHERE id IN (\(low), \(high))",
            .rows(source, [.constant(low), .constant(high)]))
        read("SELECT id, v FROM \(name) WHERE id IN ($1, $2)", .rows(source, [first, second]), 2)
        read("SELECT id, v FROM \(name)", .rows(source, nil))
        read("SELECT count(*), max(v) FROM \(name)", .total(source))
        write("UPDATE \(name) SET v = v + 1 WHERE id = $1", .touch(source, [first]), 1)
        write(
            "UPDATE \(name) SET v = v + 1 WHERE id IN ($1, $2)", .touch(source, [first, second]), 2)
        write("UPDATE \(name) SET v = v + 1", .touch(source, nil))
        write(
            "UPDATE \(name) SET id = \(high) WHERE id = \(low)",
            .move(source, from: .constant(low), to: .constant(high)))
        write("UPDATE \(name) SET id = $2 WHERE id = $1", .move(source, from: first, to: second), 2)
        write("DELETE FROM \(name) WHERE id = $1", .delete(source, [first]), 1)
        write("INSERT INTO \(name) (id, v) VALUES ($1, 0)", .insert(source, first), 1)
        write(
            "INSERT INTO \(name) AS t (id, v) VALUES ($1, 0) "
                + "ON CONFLICT (id) DO UPDATE SET v = t.v + 1", .upsert(source, first), 1)
        return group
    }

    /// The same constant is another instant in another time zone.
    static let zoned = ModelStatement(
        "SELECT v, '2024-06-01 12:00'::timestamptz, 0 FROM item WHERE id = $1",
        .read(.zoned(first)), parameters: 1)

    /// Reads whose answers depend on settings, apart from the time zone.
    static let settingReads: [ModelStatement] = keyed("item", .item, ids: [1, 2]).reads

    private static let item: Group = {
        var group = keyed("item", .item, ids: [1, 2, 3])
        let named = keyed("public.item", .table(.item), ids: [1, 2])
        let alt = keyed("alt.item", .table(.itemAlt), ids: [1, 2])
        group.reads += named.reads + alt.reads.prefix(2)
        group.writes +=
            named.writes + alt.writes
            + keyed("bob.item", .table(.itemBob), ids: [1, 2])
            .writes.prefix(2)
        group.reads.append(zoned)
        group.writes += [
            ModelStatement("UPDATE item SET v = v / 0 WHERE id = 1", .write(.failing))
        ]
        return group
    }()

    private static let pair: Group = {
        var group = Group()
        for (column, operands) in [("a", (first, nil)), ("b", (nil, first))]
            as [(String, (Operand?, Operand?))]
        {
            group.reads.append(
                ModelStatement(
                    "SELECT a, b, v FROM pair WHERE \(column) = $1",
                    .read(.pairs(operands.0, operands.1)), parameters: 1))
            group.writes.append(
                ModelStatement(
                    "UPDATE pair SET v = v + 1 WHERE \(column) = $1",
                    .write(.touchPairs(operands.0, operands.1)), parameters: 1))
        }
        group.reads += [
            ModelStatement(
                "SELECT a, b, v FROM pair WHERE a = $1 AND b = $2",
                .read(.pairs(first, second)), parameters: 2),
            ModelStatement(
                "SELECT a, b, v FROM pair WHERE b = $2 AND a = $1",
                .read(.pairs(first, second)), parameters: 2),
            ModelStatement(
                "SELECT a, b, v FROM pair WHERE a = 1 AND b = 11",
                .read(.pairs(.constant(1), .constant(11)))),
            ModelStatement("SELECT a, b, v FROM pair", .read(.pairs(nil, nil))),
        ]
        group.writes += [
            ModelStatement(
                "UPDATE pair SET v = v + 1 WHERE a = $1 AND b = $2",
                .write(.touchPairs(first, second)), parameters: 2),
            ModelStatement(
                "UPDATE pair SET v = v + 1 WHERE a = 1 AND b = 11",
                .write(.touchPairs(.constant(1), .constant(11)))),
        ]
        return group
    }()

    private static let part: Group = {
        var group = keyed("part", .table(.part), ids: [1, 3, 2])
        let low = keyed("part_low", .low, ids: [1, 2])
        let high = keyed("part_high", .high, ids: [3, 4])
        group.reads += low.reads + high.reads
        group.writes += low.writes + high.writes
        return group
    }()

    private static let family: Group = {
        var group = keyed("parent", .table(.parent), ids: [1, 2, 3])
        let join = "SELECT p.id, p.v, c.id, c.v FROM parent p JOIN child c ON c.parent_id = p.id"
        group.reads += keyed("child", .table(.child), ids: [1, 2]).reads
        group.reads += [
            ModelStatement(
                "SELECT id, v FROM child WHERE parent_id = $1", .read(.children(of: first)),
                parameters: 1),
            ModelStatement(
                "SELECT id, v FROM child WHERE parent_id = 2",
                .read(.children(of: .constant(2)))),
            ModelStatement(join, .read(.family(nil))),
            ModelStatement(
                join + " WHERE p.id = $1", .read(.family(first)), parameters: 1),
        ]
        group.writes += [
            ModelStatement(
                "UPDATE child SET v = v + 1 WHERE parent_id = $1",
                .write(.touchChildren(of: first)), parameters: 1),
            ModelStatement(
                "UPDATE child SET parent_id = $2 WHERE id = $1",
                .write(.adopt(first, parent: second)), parameters: 2),
            ModelStatement(
                "UPDATE child SET parent_id = 2 WHERE id = 1",
                .write(.adopt(.constant(1), parent: .constant(2)))),
            ModelStatement(
                "INSERT INTO child (id, parent_id, v) VALUES ($1, $2, 0)",
                .write(.insertChild(first, parent: second)), parameters: 2),
            ModelStatement(
                "UPDATE child SET v = v + 1 WHERE id = $1",
                .write(.touch(.table(.child), [first])), parameters: 1),
            ModelStatement(
                "DELETE FROM child WHERE id = $1", .write(.delete(.table(.child), [first])),
                parameters: 1),
        ]
        return group
    }()

    private static let audited: Group = {
        var group = keyed("audited", .table(.audited), ids: [1, 2])
        group.reads += keyed("audit", .table(.audit), ids: [1, 2]).reads
        return group
    }()

    private static let overview: Group = {
        var group = Group()
        group.reads = [
            ModelStatement("SELECT id, v, w FROM overview", .read(.overview(nil))),
            ModelStatement(
                "SELECT id, v, w FROM overview WHERE id = 1", .read(.overview(.constant(1)))),
            ModelStatement(
                "SELECT id, v, w FROM overview WHERE id = $1", .read(.overview(first)),
                parameters: 1),
        ]
        group.writes = Array(keyed("public.item", .table(.item), ids: [1, 2]).writes)
        group.writes += keyed("parent", .table(.parent), ids: [1, 2]).writes
        return group
    }()
}
