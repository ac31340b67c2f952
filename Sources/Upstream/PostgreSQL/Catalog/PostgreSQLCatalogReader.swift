import SQLAnalysis

/// Reads the catalog of one database over its control connection, in one snapshot.
enum PostgreSQLCatalogReader {
    static func read(_ session: ControlSession) throws(ControlError) -> CatalogRows {
        try session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        do throws(ControlError) {
            let rows = try readRows(session)
            try session.query("COMMIT")
            return rows
        } catch {
            _ = try? session.query("ROLLBACK")
            throw error
        }
    }

    private static func readRows(_ session: ControlSession) throws(ControlError) -> CatalogRows {
        var rows = CatalogRows()
        try readRelations(session, into: &rows)
        try readKeys(session, into: &rows)
        try readCode(session, into: &rows)
        try readFunctions(session, into: &rows)
        try readTypes(session, into: &rows)
        return rows
    }

    private static func readRelations(
        _ session: ControlSession, into rows: inout CatalogRows
    ) throws(ControlError) {
        let namespaces = try session.query(CatalogQueries.namespaces)
        for row in 0..<namespaces.rowCount {
            rows.namespaces.append(
                .init(oid: try namespaces.oid(row, 0), name: try namespaces.string(row, 1)))
        }
        let classes = try session.query(CatalogQueries.classes)
        rows.classes.reserveCapacity(classes.rowCount)
        for row in 0..<classes.rowCount {
            rows.classes.append(
                .init(
                    oid: try classes.oid(row, 0), name: try classes.string(row, 1),
                    namespace: try classes.oid(row, 2), kind: try classes.character(row, 3),
                    isTemporary: classes.boolean(row, 4), hasRowSecurity: classes.boolean(row, 5)))
        }
        let attributes = try session.query(CatalogQueries.attributes)
        rows.attributes.reserveCapacity(attributes.rowCount)
        for row in 0..<attributes.rowCount {
            rows.attributes.append(
                .init(
                    relation: try attributes.oid(row, 0), name: try attributes.string(row, 1),
                    type: try attributes.oid(row, 2), hasModifier: attributes.boolean(row, 3),
                    isGenerated: attributes.boolean(row, 4),
                    hasDeterministicCollation: attributes.boolean(row, 5)))
        }
        let inheritance = try session.query(CatalogQueries.inheritance)
        for row in 0..<inheritance.rowCount {
            rows.inheritance.append(
                .init(child: try inheritance.oid(row, 0), parent: try inheritance.oid(row, 1)))
        }
        let definitions = try session.query(CatalogQueries.definitions)
        for row in 0..<definitions.rowCount {
            guard let query = definitions.text(row, 1) else { continue }
            rows.definitions.append(.init(relation: try definitions.oid(row, 0), query: query))
        }
    }

    private static func readKeys(
        _ session: ControlSession, into rows: inout CatalogRows
    ) throws(ControlError) {
        let indexes = try session.query(CatalogQueries.indexes)
        var last: UInt32 = 0
        for row in 0..<indexes.rowCount {
            let index = try indexes.oid(row, 0)
            if index != last {
                rows.indexes.append(
                    .init(
                        relation: try indexes.oid(row, 1), columns: [],
                        isUnique: indexes.boolean(row, 2), isPrimary: indexes.boolean(row, 3)))
            }
            last = index
            rows.indexes[rows.indexes.count - 1].columns.append(try indexes.string(row, 4))
        }
        let loose = try session.query(CatalogQueries.looseUniqueIndexes)
        for row in 0..<loose.rowCount { rows.looseUniqueIndexes.append(try loose.oid(row, 0)) }
        let foreignKeys = try session.query(CatalogQueries.foreignKeys)
        last = 0
        for row in 0..<foreignKeys.rowCount {
            let key = try foreignKeys.oid(row, 0)
            if key != last {
                rows.foreignKeys.append(
                    .init(
                        referencing: try foreignKeys.oid(row, 1), [],
                        referenced: try foreignKeys.oid(row, 2), [],
                        onDelete: .init(try foreignKeys.character(row, 3)),
                        onUpdate: .init(try foreignKeys.character(row, 4))))
            }
            last = key
            let place = rows.foreignKeys.count - 1
            rows.foreignKeys[place].referencingColumns.append(try foreignKeys.string(row, 5))
            rows.foreignKeys[place].referencedColumns.append(try foreignKeys.string(row, 6))
        }
    }

    /// What runs by itself when a table is touched.
    private static func readCode(
        _ session: ControlSession, into rows: inout CatalogRows
    ) throws(ControlError) {
        let triggers = try session.query(CatalogQueries.triggers)
        for row in 0..<triggers.rowCount {
            rows.triggers.append(
                .init(relation: try triggers.oid(row, 0), function: try triggers.oid(row, 1)))
        }
        let rules = try session.query(CatalogQueries.rules)
        for row in 0..<rules.rowCount { rows.rules.append(try rules.oid(row, 0)) }
        let dependencies = try session.query(CatalogQueries.dependencies)
        for row in 0..<dependencies.rowCount {
            rows.dependencies.append(
                .init(
                    relation: try dependencies.oid(row, 0),
                    function: try dependencies.oid(row, 1)))
        }
        let events = try session.query(CatalogQueries.eventTriggers)
        for row in 0..<events.rowCount {
            rows.eventTriggerFunctions.append(try events.oid(row, 0))
        }
    }

    private static func readFunctions(
        _ session: ControlSession, into rows: inout CatalogRows
    ) throws(ControlError) {
        let functions =
            try session.serverVersion() >= 140_000
            ? try session.query(CatalogQueries.functions)
            : try session.query(CatalogQueries.functionsBefore14)
        rows.functions.reserveCapacity(functions.rowCount)
        for row in 0..<functions.rowCount {
            rows.functions.append(
                .init(
                    oid: try functions.oid(row, 0), name: try functions.string(row, 1),
                    namespace: try functions.oid(row, 2),
                    volatility: try functions.character(row, 3),
                    language: try functions.string(row, 4),
                    argumentTypes: (functions.text(row, 5) ?? "").split(separator: " ")
                        .compactMap { UInt32($0) },
                    defaultCount: Int(functions.text(row, 6) ?? "") ?? 0,
                    isVariadic: functions.boolean(row, 7), resultType: try functions.oid(row, 8),
                    source: functions.text(row, 9) ?? ""))
        }
        let operators = try session.query(CatalogQueries.operators)
        for row in 0..<operators.rowCount {
            rows.operators.append(
                .init(
                    name: try operators.string(row, 0), function: try operators.oid(row, 1),
                    left: try operators.oid(row, 2), right: try operators.oid(row, 3)))
        }
        let casts = try session.query(CatalogQueries.casts)
        for row in 0..<casts.rowCount { rows.castFunctions.append(try casts.oid(row, 0)) }
    }

    private static func readTypes(
        _ session: ControlSession, into rows: inout CatalogRows
    ) throws(ControlError) {
        let types = try session.query(CatalogQueries.types)
        rows.types.reserveCapacity(types.rowCount)
        for row in 0..<types.rowCount {
            rows.types.append(
                .init(
                    oid: try types.oid(row, 0), name: try types.string(row, 1),
                    namespace: try types.oid(row, 2), kind: try types.character(row, 3),
                    inner: try types.oid(row, 4), relation: try types.oid(row, 5),
                    hasImmutableOutput: types.boolean(row, 6)))
        }
    }
}
