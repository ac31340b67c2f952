@testable import SQLAnalysis

/// Tables with keys of every kind, and how the tests write down what is known of their rows.
enum KeyedSampleCatalog {
    static let rows: CatalogRows = {
        var rows = CatalogRows()
        rows.namespaces = [
            .init(oid: 11, name: "pg_catalog"), .init(oid: 2_200, name: "public"),
            .init(oid: 20_000, name: "other"),
        ]
        let types: [(UInt32, String)] = [
            (16, "bool"), (20, "int8"), (21, "int2"), (23, "int4"), (25, "text"),
            (1_042, "bpchar"), (1_043, "varchar"), (1_082, "date"), (1_700, "numeric"),
            (2_950, "uuid"), (1_184, "timestamptz"), (1_007, "_int4"), (1_016, "_int8"),
        ]
        rows.types = types.map { .init(oid: $0.0, name: $0.1, namespace: 11) }
        rows.functions = [
            .init(
                oid: 101, name: "count", namespace: 11, volatility: "i", argumentTypes: [],
                resultType: 20),
            .init(
                oid: 102, name: "generate_series", namespace: 11, volatility: "i",
                argumentTypes: [23, 23], resultType: 23),
            .init(
                oid: 50_001, name: "stamp", namespace: 2_200, volatility: "v",
                language: "plpgsql", source: "begin new.id := 1; return new; end"),
        ]
        addTables(&rows)
        return rows
    }()

    static let catalog = PostgreSQLCatalog(rows)

    private static func table(
        _ rows: inout CatalogRows, _ oid: UInt32, _ name: String,
        _ columns: [(String, UInt32)], kind: Character = "r", schema: UInt32 = 2_200,
        keys: [[String]] = []
    ) {
        rows.classes.append(.init(oid: oid, name: name, namespace: schema, kind: kind))
        rows.attributes += columns.map { .init(relation: oid, name: $0.0, type: $0.1) }
        for (number, key) in keys.enumerated() {
            rows.indexes.append(.init(relation: oid, columns: key, isPrimary: number == 0))
        }
    }

    private static func addTables(_ rows: inout CatalogRows) {
        let id: (String, UInt32) = ("id", 23)
        table(
            &rows, 40_001, "t",
            [
                id, ("a", 23), ("b", 20), ("s", 25), ("d", 1_082), ("u", 2_950), ("f", 16),
                ("n", 1_700), ("c", 1_042),
            ], keys: [["id"]])
        rows.attributes += [
            .init(relation: 40_001, name: "v", type: 1_043, hasModifier: true),
            .init(relation: 40_001, name: "g", type: 23, isGenerated: true),
            .init(relation: 40_001, name: "ci", type: 25, hasDeterministicCollation: false),
        ]
        table(
            &rows, 40_002, "p", [("a", 23), ("b", 23), ("e", 23), ("note", 25)],
            keys: [["a", "b"], ["e"]])
        table(&rows, 40_003, "r", [("id", 20), ("t_id", 23), ("k", 21)], keys: [["id"]])
        rows.indexes.append(.init(relation: 40_003, columns: ["k"], isUnique: false))
        table(&rows, 40_004, "part", [id, ("x", 23)], kind: "p", keys: [["id"]])
        table(&rows, 40_005, "part_1", [id, ("x", 23)], keys: [["id"]])
        rows.inheritance = [.init(child: 40_005, parent: 40_004)]
        table(&rows, 40_006, "folder", [id, ("parent", 23)], keys: [["id"]])
        table(&rows, 40_007, "stamped", [id], keys: [["id"]])
        rows.triggers = [.init(relation: 40_007, function: 50_001)]
        table(&rows, 40_008, "loose", [id, ("s", 25)], keys: [["id"], ["s"]])
        rows.looseUniqueIndexes = [40_008]
        table(&rows, 40_009, "doc", [id, ("part_id", 23)], keys: [["id"]])
        table(&rows, 40_010, "p", [("a", 23)], schema: 20_000)
        rows.foreignKeys = [
            .init(
                referencing: 40_003, ["t_id"], referenced: 40_001, ["id"], onDelete: .cascade,
                onUpdate: .cascade),
            .init(
                referencing: 40_006, ["parent"], referenced: 40_006, ["id"], onDelete: .cascade),
            .init(referencing: 40_009, ["part_id"], referenced: 40_004, ["id"], onDelete: .set),
        ]
        let views = [
            (41_001, "three_v", "SELECT t.id, t.a FROM public.t WHERE (t.a = 3)"),
            (41_002, "all_v", "SELECT t.id, t.a FROM public.t"),
            (41_003, "list_v", "SELECT t.id FROM public.t WHERE (t.id = ANY (ARRAY[1, 2]))"),
        ]
        for (oid, name, query) in views {
            table(&rows, UInt32(oid), name, [id, ("a", 23)], kind: "v")
            rows.definitions.append(.init(relation: UInt32(oid), query: query))
        }
        table(&rows, 41_004, "total_m", [id], kind: "m")
    }

    // MARK: Writing down

    private static func name(_ identifier: RelationIdentifier) -> String {
        rows.classes.first { String($0.oid) == identifier.rawValue }?.name ?? "?"
    }

    private static func text(_ operand: KeyOperand) -> String {
        switch operand {
        case .value(.integer(let value)): "\(value)"
        case .value(.boolean(let value)): "\(value)"
        case .value(.date(let days)): "day \(days)"
        case .value(.uuid(let bytes)): "uuid \(bytes[0])…\(bytes[15])"
        case .value(.text(let bytes)): "'\(String(decoding: bytes, as: UTF8.self))'"
        case .null: "null"
        case .parameter(let index, let type): "$\(index + 1)\(text(type))"
        case .anyElement(let index, let type): "any $\(index + 1)\(text(type))"
        }
    }

    private static func text(_ type: KeyType) -> String {
        switch type {
        case .integer(let width): ":int\(width)"
        case .boolean: ":bool"
        case .date: ":date"
        case .uuid: ":uuid"
        case .text: ":text"
        }
    }

    /// `t id: 1 2; p a,b: 1/2; r all`
    static func text(_ dependencies: [RowDependency]) -> String {
        dependencies.map { dependency in
            guard case .keyed(let rows) = dependency.scope else {
                return name(dependency.relation) + " all"
            }
            let tuples = rows.tuples.map { $0.map(text).joined(separator: "/") }
            return name(dependency.relation) + " " + rows.columns.joined(separator: ",") + ": "
                + tuples.joined(separator: " ")
        }.sorted().joined(separator: "; ")
    }

    /// `t a=1,2 id=3; r *`
    static func text(_ writes: WriteSet) -> String {
        guard case .relations(let relations) = writes else { return "\(writes)" }
        return relations.map { identifier, pins in
            let columns = pins.columns.sorted { $0.key < $1.key }.map { column, values in
                column + "=" + values.map(text).sorted().joined(separator: ",")
            }
            return ([name(identifier)] + (columns.isEmpty ? ["*"] : columns))
                .joined(separator: " ")
        }.sorted().joined(separator: "; ")
    }
}
