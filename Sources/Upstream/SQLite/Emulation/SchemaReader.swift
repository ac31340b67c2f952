import CSQLite
import PostgresWire

/// Reads tables, views, indexes, keys and triggers of a connection's main database.
/// https://www.sqlite.org/pragma.html#pragfunc
struct SchemaReader {
    let connection: OpaquePointer

    private struct Entry {
        let kind: String
        let name: String
        let table: String
        let sql: String
    }

    func read() throws(PostgresError) -> [SQLiteSchema.Relation] {
        let entries = try entries()
        var oids = ObjectIdentifiers()
        var definitions: [String: String] = [:]
        var triggers: [String: [Entry]] = [:]
        for entry in entries {
            if entry.kind == "index" { definitions[entry.name] = entry.sql }
            if entry.kind == "trigger" {
                triggers[entry.table.lowercased(), default: []].append(entry)
            }
        }
        let objects = entries.filter { $0.kind == "table" || $0.kind == "view" }
        var columns: [String: [SQLiteSchema.Column]] = [:]
        for object in objects {
            // A view whose tables have gone cannot be described, and must not hide the rest.
            do throws(PostgresError) {
                columns[object.name.lowercased()] = try self.columns(of: object.name)
            } catch {
                guard object.kind == "view" else { throw error }
            }
        }
        // Names given to constraints must not collide with names that the schema uses itself.
        var taken = Set(entries.map(\.name))
        var relations: [SQLiteSchema.Relation] = []
        for object in objects {
            let own = columns[object.name.lowercased()] ?? []
            let isView = object.kind == "view"
            relations.append(
                SQLiteSchema.Relation(
                    oid: oids.next("relation", object.name),
                    rowTypeOID: oids.next("type", object.name),
                    name: object.name, isView: isView, columns: own,
                    indexes: isView
                        ? []
                        : try indexes(
                            of: object.name, columns: own, definitions: definitions,
                            taken: &taken, oids: &oids),
                    foreignKeys: isView
                        ? []
                        : try foreignKeys(
                            of: object.name, columns: columns, taken: &taken, oids: &oids),
                    triggers: (triggers[object.name.lowercased()] ?? []).map {
                        SQLiteSchema.Trigger(
                            oid: oids.next("trigger", $0.name), name: $0.name, definition: $0.sql)
                    },
                    viewDefinition: isView ? SchemaText.viewSelect(object.sql) : nil))
        }
        return relations
    }

    private func entries() throws(PostgresError) -> [Entry] {
        let statement = try CatalogStatement(
            """
            SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_schema
            WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR type = 'index' ORDER BY name
            """, on: connection)
        var entries: [Entry] = []
        while try statement.step() {
            entries.append(
                Entry(
                    kind: statement.text(0) ?? "", name: statement.text(1) ?? "",
                    table: statement.text(2) ?? "", sql: statement.text(3) ?? ""))
        }
        return entries
    }

    private func columns(of table: String) throws(PostgresError) -> [SQLiteSchema.Column] {
        let statement = try CatalogStatement(
            """
            SELECT name, type, "notnull", dflt_value, pk, hidden
            FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid
            """, on: connection)
        statement.bind(table, at: 1)
        var columns: [SQLiteSchema.Column] = []
        while try statement.step() {
            columns.append(
                SQLiteSchema.Column(
                    name: statement.text(0) ?? "", declaredType: statement.text(1) ?? "",
                    isNotNull: statement.integer(2) != 0, defaultExpression: statement.text(3),
                    primaryKeyPosition: statement.integer(4), isGenerated: statement.integer(5) > 1
                ))
        }
        return columns
    }

    private func indexes(
        of table: String, columns: [SQLiteSchema.Column], definitions: [String: String],
        taken: inout Set<String>, oids: inout ObjectIdentifiers
    ) throws(PostgresError) -> [SQLiteSchema.Index] {
        let list = try CatalogStatement(
            """
            SELECT name, "unique", origin, partial FROM pragma_index_list(?1, 'main')
            ORDER BY origin <> 'pk', name
            """, on: connection)
        list.bind(table, at: 1)
        var indexes: [SQLiteSchema.Index] = []
        while try list.step() {
            let stored = list.text(0) ?? ""
            let origin = SQLiteSchema.Index.Origin(rawValue: list.text(2) ?? "") ?? .createIndex
            let definition = definitions[stored].flatMap(SchemaText.indexParts)
            let info = try CatalogStatement(
                """
                SELECT seqno, cid, name, "desc" FROM pragma_index_xinfo(?1, 'main')
                WHERE key ORDER BY seqno
                """, on: connection)
            info.bind(stored, at: 1)
            var keys: [SQLiteSchema.Index.Key] = []
            while try info.step() {
                let name = info.text(2)
                let position = name.flatMap { name in columns.firstIndex { $0.name == name } }
                var text = name ?? ""
                if name == nil, let parts = definition?.keys, parts.indices.contains(keys.count) {
                    text = parts[keys.count]
                }
                keys.append(
                    SQLiteSchema.Index.Key(
                        column: position, text: text, isDescending: info.integer(3) != 0))
            }
            indexes.append(
                index(
                    stored: stored, table: table, origin: origin, isUnique: list.integer(1) != 0,
                    keys: keys, predicate: list.integer(3) != 0 ? definition?.predicate : nil,
                    taken: &taken, oids: &oids))
        }
        let hasPrimaryKeyIndex = indexes.contains { $0.origin == .primaryKey }
        let primaryKey = columns.filter { $0.primaryKeyPosition > 0 }
        // An INTEGER PRIMARY KEY is the rowid: the key exists without an index of its own.
        if !hasPrimaryKeyIndex, primaryKey.count == 1,
            let column = columns.firstIndex(of: primaryKey[0])
        {
            indexes.insert(
                index(
                    stored: "", table: table, origin: .primaryKey, isUnique: true,
                    keys: [
                        SQLiteSchema.Index.Key(
                            column: column, text: primaryKey[0].name, isDescending: false)
                    ], predicate: nil, taken: &taken, oids: &oids), at: 0)
        }
        return indexes
    }

    private func index(
        stored: String, table: String, origin: SQLiteSchema.Index.Origin, isUnique: Bool,
        keys: [SQLiteSchema.Index.Key], predicate: String?, taken: inout Set<String>,
        oids: inout ObjectIdentifiers
    ) -> SQLiteSchema.Index {
        let name =
            switch origin {
            case .createIndex: stored
            case .primaryKey: Self.unused("\(table)_pkey", &taken)
            case .uniqueConstraint:
                Self.unused("\(table)_\(keys.map(\.text).joined(separator: "_"))_key", &taken)
            }
        return SQLiteSchema.Index(
            oid: oids.next("relation", name),
            constraintOID: origin == .createIndex ? 0 : oids.next("constraint", name),
            name: name, isUnique: isUnique, origin: origin, keys: keys, predicate: predicate)
    }

    private func foreignKeys(
        of table: String, columns: [String: [SQLiteSchema.Column]], taken: inout Set<String>,
        oids: inout ObjectIdentifiers
    ) throws(PostgresError) -> [SQLiteSchema.ForeignKey] {
        let statement = try CatalogStatement(
            """
            SELECT id, "table", "from", "to", on_update, on_delete
            FROM pragma_foreign_key_list(?1, 'main') ORDER BY id DESC, seq
            """, on: connection)
        statement.bind(table, at: 1)
        struct Part {
            let id: Int
            let table: String
            let from: String
            let to: String?
            let onUpdate: String
            let onDelete: String
        }
        var parts: [Part] = []
        while try statement.step() {
            parts.append(
                Part(
                    id: statement.integer(0), table: statement.text(1) ?? "",
                    from: statement.text(2) ?? "", to: statement.text(3),
                    onUpdate: statement.text(4) ?? "", onDelete: statement.text(5) ?? ""))
        }
        let own = columns[table.lowercased()] ?? []
        var keys: [SQLiteSchema.ForeignKey] = []
        var position = 0
        while position < parts.count {
            let first = parts[position]
            let group = parts[position...].prefix { $0.id == first.id }
            position += group.count
            // A key onto a table that does not exist cannot be shown as a constraint.
            guard let referred = columns[first.table.lowercased()] else { continue }
            let primaryKey = referred.indices.filter { referred[$0].primaryKeyPosition > 0 }
                .sorted { referred[$0].primaryKeyPosition < referred[$1].primaryKeyPosition }
            let from = group.compactMap { part in
                own.firstIndex { $0.name.lowercased() == part.from.lowercased() }
            }
            let to = group.enumerated().compactMap { offset, part -> Int? in
                guard let name = part.to?.lowercased() else {
                    return primaryKey.indices.contains(offset) ? primaryKey[offset] : nil
                }
                return referred.firstIndex { $0.name.lowercased() == name }
            }
            guard from.count == group.count, to.count == group.count else { continue }
            let names = group.map(\.from).joined(separator: "_")
            let name = Self.unused("\(table)_\(names)_fkey", &taken)
            keys.append(
                SQLiteSchema.ForeignKey(
                    oid: oids.next("constraint", name), name: name, columns: from,
                    referredTable: first.table, referredColumns: to, onUpdate: first.onUpdate,
                    onDelete: first.onDelete))
        }
        return keys
    }

    private static func unused(_ name: String, _ taken: inout Set<String>) -> String {
        var candidate = name
        var number = 1
        while !taken.insert(candidate).inserted {
            candidate = "\(name)\(number)"
            number += 1
        }
        return candidate
    }
}

/// Gives objects OIDs that depend on their names, so that they outlive unrelated schema changes:
/// clients look an OID up in one statement and use it in the next.
struct ObjectIdentifiers {
    /// The first OID that PostgreSQL gives to user objects.
    static let firstNormal: UInt32 = 16384
    private var used: Set<UInt32> = []

    mutating func next(_ kind: String, _ name: String) -> UInt32 {
        // FNV-1a; folded to 30 bits, so that clients which take OIDs for signed are right too.
        var hash: UInt32 = 2_166_136_261
        for byte in kind.utf8 + [0] + name.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        var oid = Self.firstNormal + (hash ^ hash >> 30) & 0x3fff_ffff
        while !used.insert(oid).inserted { oid += 1 }
        return oid
    }
}
